"""`import gossamer`: its names, and what it loads."""

import subprocess
import sys

import pytest

import gossamer

HEAVY = ("numpy", "scipy", "numba", "torch", "typer", "rich", "pydantic", "matplotlib")


def run_python(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)


def test_importing_gossamer_loads_nothing_heavy():
    code = f"""
import sys
import gossamer
assert not set({HEAVY}) & set(sys.modules)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", gossamer.__all__)
def test_every_public_name_resolves(name):
    assert callable(getattr(gossamer, name))
    assert name in dir(gossamer)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = gossamer.no_such_name


def test_simulating_does_not_import_torch_or_matplotlib():
    code = """
import sys, gossamer
from gossamer.cli import main
gossamer.compile, gossamer.simulate, gossamer.energy, gossamer.load_dataset
assert main(["doctor", "--json", "--data-dir", "."]) == 0
assert not {"torch", "matplotlib", "h5py"} & set(sys.modules)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_help_loads_no_arrays_and_lists_every_verb():
    heavy = [name for name in HEAVY if name not in ("typer", "rich")]
    code = f"""
import sys
from gossamer.cli import main
status = main(["--help"])
assert not set({heavy}) & set(sys.modules)
raise SystemExit(status)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    verbs = ("demo", "train", "attack", "compile", "simulate", "energy", "inspect", "diff", "report", "doctor")
    assert all(f"  {verb} " in done.stdout for verb in verbs)
