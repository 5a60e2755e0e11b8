"""The wheel holds every module and data file, and its core works where only the core dependencies are installed."""

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FOLDERS = ("hwmodels", "compiler", "simulator", "training")
IMPORT_ALL = """
import importlib, sys
for name in sys.stdin.read().split():
    importlib.import_module(name)
if sys.argv[1:] != ["full"]:
    assert not {"torch", "sklearn"} & set(sys.modules), "the core has imported torch"
import gossamer
print(gossamer.__file__)
"""


def modules():
    """Every module of ours, by its import name."""
    for folder in ("gossamer", *FOLDERS):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = [*(() if folder == "gossamer" else ("gossamer",)), *file.relative_to(ROOT).with_suffix("").parts]
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def needs_torch(module):
    return module.startswith("gossamer.training") and not module.startswith("gossamer.training.data")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("gossamer", *FOLDERS):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        out,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def environment(wheel, folder, extras):
    """A virtual environment with the wheel and its dependencies, linked from this one: nothing is downloaded."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    wanted = [Requirement(r) for r in metadata.PathDistribution(next(site.glob("gossamer-*.dist-info"))).requires or []]
    queue = [r for r in wanted if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)]
    seen = set()
    while queue:
        name = queue.pop().name
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform
        for file in distribution.files or []:
            top = site / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not top.exists():
                top.symlink_to(distribution.locate_file(file.parts[0]))
        queue += [Requirement(r) for r in distribution.requires or [] if "extra ==" not in r]
    return folder / "bin" / "python"


@pytest.mark.parametrize("extras", [(), ("train", "nir", "viz")], ids=["core", "full"])
def test_every_module_imports_from_the_installed_wheel(wheel, tmp_path, extras):
    python = environment(wheel, tmp_path / "env", extras)
    names = [m for m in modules() if extras or not needs_torch(m)]
    assert len(names) > 40
    command = [python, "-I", "-c", IMPORT_ALL, *(["full"] if extras else [])]
    done = subprocess.run(command, input=" ".join(names), text=True, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(tmp_path) in done.stdout


def test_the_wheel_holds_chips_recipes_and_the_page(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for pattern in ("hwmodels/chips/*.toml", "training/recipes/*.toml", "gossamer/report/*.html"):
        files = list(ROOT.glob(pattern))
        assert files
        for file in files:
            path = file.relative_to(ROOT)
            assert (str(path) if path.parts[0] == "gossamer" else f"gossamer/{path}") in names
