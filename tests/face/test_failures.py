"""Whatever goes wrong: one message with a code, an exit status, no traceback."""

import json
import os
import subprocess
import sys

import pytest

from gossamer.hwmodels import GossamerError


@pytest.fixture
def failing(gossamer, files, monkeypatch):
    """Let loading a graph fail with an exception."""

    def run(error, *options):
        def fail(path):
            raise error

        monkeypatch.setattr("gossamer.describe.load_graph", fail)
        return gossamer("inspect", files / "net.graph", *options)

    return run


def test_every_part_of_an_error_stands_on_its_own_line(failing):
    error = GossamerError("GSM-999", "broken", where="here", found=3, expected="4", remedy="count again")
    answer = failing(error, "--json")
    assert answer.status == 2
    assert answer.err == (
        "error GSM-999: broken\n  where:    here\n  found:    3\n  expected: 4\n  remedy:   count again\n"
    )
    assert answer.json == {"error": error.to_dict()}


def test_an_unforeseen_exception_is_an_internal_error(failing, monkeypatch):
    answer = failing(ZeroDivisionError("division by zero"))
    assert answer.status == 2
    assert answer.err.startswith("error GSM-700: internal error")
    assert "ZeroDivisionError" in answer.err
    assert "Traceback" not in answer.err
    monkeypatch.setenv("GOSSAMER_TRACEBACK", "1")
    assert "Traceback" in failing(ZeroDivisionError("division by zero")).err


@pytest.mark.parametrize(
    ("error", "code"),
    [(MemoryError("12 TiB"), "GSM-704"), (OSError(28, "No space left on device", "disk"), "GSM-106")],
)
def test_memory_and_system_errors_have_codes(failing, error, code):
    answer = failing(error)
    assert answer.status == 2
    assert code in answer.err


def test_ctrl_c_is_told_in_one_line(failing):
    answer = failing(KeyboardInterrupt(), "--json")
    assert answer.status == 130
    assert answer.err == "error GSM-703: interrupted\n"
    assert answer.json["error"]["code"] == "GSM-703"


def test_an_unknown_verb_and_no_verb(gossamer):
    assert gossamer("fly").status == 2
    assert "GSM-702" in gossamer("fly").err
    assert gossamer("--version").out.startswith("gossamer ")
    assert gossamer("--version").status == 0


def test_torch_is_asked_for_where_it_is_missing(gossamer, files, monkeypatch):
    def no_torch(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("gossamer.report.optional.import_module", no_torch)
    for arguments in (("train", "digits"), ("attack", files / "net.safetensors", "--data", "digits"), ("demo",)):
        answer = gossamer(*arguments)
        assert answer.status == 2
        assert "GSM-701" in answer.err
        assert "pip install 'gossamer[train]'" in answer.err


def test_a_closed_pipe_ends_a_command_quietly(files):
    command = f"{sys.executable} -m gossamer inspect {files / 'net8.graph'} --json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command + "; echo ${PIPESTATUS[0]} >&2"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "{"
    assert done.stderr.strip() in ("0", "141")  # all was written before head left, or not


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_told(gossamer, files):
    answer = gossamer("compile", files / "net.safetensors", "-o", "/dev/full/g")
    assert answer.status == 2
    assert "GSM-106" in answer.err


def test_a_real_process_keeps_answer_and_remarks_apart(files, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "gossamer", "simulate", files / "net.safetensors"]
    options = ["--data", files / "x.npz", "-o", "run", "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_samples"] == 12
    assert "compiled on the fly" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("inspect {net} --json > /dev/full", 2),
        ("inspect {net} > /dev/full", 2),
        ("inspect no-such-file 2> /dev/full", 2),
        ("inspect {net} >&-", 0),
        ("inspect no-such-file 2>&-", 2),
    ],
)
def test_a_stream_that_takes_nothing_ends_in_a_status_and_no_traceback(files, arguments, status):
    command = f"{sys.executable} -m gossamer " + arguments.format(net=files / "net.safetensors")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert ("GSM-106" in done.stderr) == ("> /dev/full" in arguments and "2>" not in arguments)
