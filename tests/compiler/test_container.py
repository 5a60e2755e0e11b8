"""The file container: damage is noticed, foreign files are refused, and writing is all or nothing."""

import errno
import json
import mmap
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forgery import bit_flips, forge, truncations
from networks import assert_identical, refusal, small_convolutional
from safetensors.numpy import save_file

from gossamer.compiler import (
    CompileError,
    GossamerError,
    compile_network,
    container,
    container_kind,
    load_checkpoint,
    load_graph,
    read_container,
    save_checkpoint,
    write_container,
    write_text,
)
from gossamer.simulator import load_activity, simulate

HERE = Path(__file__).parent
KINDS = {"checkpoint": load_checkpoint, "graph": load_graph, "activity": load_activity}


def write(kind, path):
    network = small_convolutional()
    if kind == "checkpoint":
        return save_checkpoint(network, path)
    graph = compile_network(network, weight_bits=8)
    if kind == "graph":
        return graph.save(path)
    x = np.random.default_rng(0).random((3, 3, 8, 8))
    return simulate(graph, x, np.array([1, 2, 3]), record=["conv2"]).save(path)


@pytest.fixture(scope="module", params=KINDS)
def whole(request, tmp_path_factory):
    """(a reader, a whole file, what it holds)"""
    path = tmp_path_factory.mktemp("whole") / request.param
    write(request.param, path)
    return KINDS[request.param], path, KINDS[request.param](path)


def assert_refused_or_equal(load, path, original):
    """Whatever became of a file, reading gives what was written or a refusal with a code of files or networks."""
    try:
        loaded = load(path)
    except GossamerError as error:
        refused = error
    else:
        assert_identical(loaded, original)
        return True
    assert refused.code[:5] in ("GSM-1", "GSM-2"), refused
    assert str(path) in refused.where
    return False


def test_a_file_cut_off_anywhere_is_refused(whole, tmp_path):
    load, path, original = whole
    damaged = tmp_path / "damaged"
    for data in truncations(path.read_bytes()):
        damaged.write_bytes(data)
        assert not assert_refused_or_equal(load, damaged, original), len(data)


def test_a_file_cut_off_in_its_header_is_told_as_damaged(whole, tmp_path):
    load, path, _ = whole
    for n in (200, 1000, path.stat().st_size - 1):
        (tmp_path / "cut").write_bytes(path.read_bytes()[:n])
        assert "again" in refusal(lambda: load(tmp_path / "cut"), "GSM-104").remedy


def test_a_flipped_bit_anywhere_is_noticed(whole, tmp_path):
    load, path, original = whole
    damaged = tmp_path / "damaged"
    unnoticed = 0
    for data in bit_flips(path.read_bytes(), 500):
        damaged.write_bytes(data)
        unnoticed += assert_refused_or_equal(load, damaged, original)
    assert unnoticed < 10, "only bits that mean nothing, such as the case of a hexadecimal escape"


def test_bytes_added_or_swapped_are_noticed(whole, tmp_path):
    load, path, original = whole
    data, damaged = path.read_bytes(), tmp_path / "damaged"
    half = len(data) // 2
    for changed in (data + b"\0", data[half:] + data[:half], data[8:], b"\0" * 8 + data, data[:8] + data):
        damaged.write_bytes(changed)
        assert not assert_refused_or_equal(load, damaged, original)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "GSM-101"),
        (lambda path: path.mkdir(), "GSM-101"),
        (lambda path: path.write_bytes(b""), "GSM-102"),
        (lambda path: path.write_text("just some words, not a network"), "GSM-102"),
        (lambda path: path.write_bytes(bytes(range(256)) * 40), "GSM-102"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 500), "GSM-102"),
        (lambda path: save_file({"weight": np.ones(3)}, path), "GSM-102"),
        (lambda path: save_file({"weight": np.ones(3)}, path, {"format": "pt"}), "GSM-102"),
        (lambda path: save_file({"weight": np.ones(3)}, path, {"gossamer": "poem"}), "GSM-102"),
        (
            lambda path: save_file({"weight": np.ones(3)}, path, {"gossamer": "training-state", "version": "1"}),
            "GSM-102",
        ),
    ],
)
def test_what_is_no_such_file_is_refused(kind, make, code, tmp_path):
    make(tmp_path / "file")
    error = refusal(lambda: KINDS[kind](tmp_path / "file"), code)
    assert str(tmp_path / "file") in error.where


def test_a_file_cut_off_in_its_header_is_damaged_and_not_foreign(whole, tmp_path):
    load, path, _ = whole
    data, cut = path.read_bytes(), tmp_path / "cut"
    for length in (9, 20, 60, int.from_bytes(data[:8], "little")):
        cut.write_bytes(data[:length])
        assert "truncated" in refusal(lambda: load(cut), "GSM-104").what


def test_the_name_of_no_file_at_all_is_refused():
    refusal(lambda: load_graph("a\0b"), "GSM-101")


def test_one_kind_of_file_is_not_taken_for_another(whole):
    load, path, _ = whole
    for other in KINDS.values():
        if other is not load:
            assert "inspect" in refusal(lambda other=other: other(path), "GSM-102").remedy


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("version", "2", "GSM-103"),
        ("version", "999999999", "GSM-103"),
        ("version", "0", "GSM-104"),
        ("version", "-1", "GSM-104"),
        ("version", "²", "GSM-104"),
        ("version", "1" * 5000, "GSM-104"),
        ("version", "", "GSM-104"),
        ("header", "", "GSM-105"),
        ("header", "[]", "GSM-105"),
        ("header", "7", "GSM-105"),
        ("header", "{", "GSM-105"),
        ("header", "{}", "GSM-105"),
        ("header", '{"arrays": []}', "GSM-105"),
        ("header", '{"arrays": {}, "network": {}}', "GSM-104"),
        ("header", "[" * 100_000, "GSM-105"),
        ("header", '{"arrays": ' + "9" * 5000 + "}", "GSM-105"),
        ("sha256", "0" * 64, "GSM-104"),
        ("sha256", None, "GSM-104"),
        ("header", None, "GSM-105"),
        ("version", None, "GSM-104"),
    ],
)
def test_a_header_that_is_not_as_it_must_be_is_refused(field, value, code, tmp_path):
    """Written by hand with the digest that belongs to it."""
    metadata = {"gossamer": "graph", "version": "1", "header": '{"arrays": {}}', field: value}
    metadata = {k: v for k, v in metadata.items() if v is not None}
    metadata.setdefault("sha256", container._digest("graph", metadata.get("version", ""), metadata.get("header", "")))
    if field == "sha256" and value is None:
        del metadata["sha256"]
    save_file({"a": np.ones(1)}, tmp_path / "file", metadata)
    refusal(lambda: load_graph(tmp_path / "file"), code)


def test_equal_contents_give_equal_bytes(tmp_path):
    """In any process: the order of a hash map is no difference."""
    code = "import sys; from test_container import write; write('checkpoint', sys.argv[1])"
    paths = [tmp_path / name for name in "abcd"]
    for path in paths:
        subprocess.run(
            [sys.executable, "-c", code, path], cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, check=True
        )
    assert len({path.read_bytes() for path in paths}) == 1


def test_a_file_can_be_read_with_the_safetensors_library_alone(tmp_path):
    digest = write("graph", tmp_path / "graph")
    header, arrays, read_digest = read_container(tmp_path / "graph", "graph", 1)
    assert read_digest == digest
    assert container_kind(tmp_path / "graph") == "graph"
    assert set(header) == {"graph"}
    assert all(isinstance(a, np.ndarray) for a in arrays.values())


def test_the_same_contents_have_the_same_digest(tmp_path):
    for kind in ("checkpoint", "graph"):
        assert write(kind, tmp_path / f"{kind}0") == write(kind, tmp_path / f"{kind}1")


def test_arrays_of_every_type_and_shape_come_back(tmp_path):
    arrays = {
        name: np.asarray(value)
        for name, value in {
            "bool": np.array([True, False]),
            "number": np.float32(2.5),
            "empty": np.empty((0, 3), np.int16),
            "transposed": np.arange(6.0).reshape(2, 3).T,
            "odd name é\n": np.arange(3, dtype=np.uint16),
        }.items()
    }
    write_container(tmp_path / "file", "graph", 1, {"a": [1, None, "x"]}, arrays)
    header, back, _ = read_container(tmp_path / "file", "graph", 1)
    assert header == {"a": [1, None, "x"]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)


def test_arrays_are_mapped_and_outlive_the_file_that_they_were_read_from(tmp_path):
    """A file is replaced, not changed, so that what was read from it stays as it was."""
    path = tmp_path / "graph"
    write_container(path, "graph", 1, {}, {"a": np.arange(10, dtype=np.int16), "b": np.array(2.5)})
    _, arrays, _ = read_container(path, "graph", 1)
    write_container(path, "graph", 1, {}, {"a": np.zeros(10, np.int16)})
    path.unlink()
    assert arrays["a"].tolist() == list(range(10))
    assert arrays["b"] == 2.5
    base = arrays["a"]
    while isinstance(base, np.ndarray):
        assert not base.flags.writeable
        base = base.base
    assert isinstance(base, mmap.mmap) or isinstance(base.obj, mmap.mmap)


@pytest.mark.parametrize("value", [{1, 2}, np.float32(1), object(), float, {(1, 2): 3}])
def test_a_header_that_json_cannot_hold_is_refused_before_anything_is_written(value, tmp_path):
    refusal(lambda: write_container(tmp_path / "file", "graph", 1, {"a": value}, {}), "GSM-106")
    assert list(tmp_path.iterdir()) == []


def partial_then(error):
    """A writer that fails when half of the file is written."""
    whole = container._write

    def write_half(path, metadata, arrays):
        whole(path, metadata, arrays)
        os.truncate(path, os.path.getsize(path) // 2)
        raise error

    return write_half


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (OSError(errno.EIO, "Input/output error"), "cannot write the file"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot write the file"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(error, what, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    write("checkpoint", path)
    before = path.read_bytes()
    monkeypatch.setattr(container, "_write", partial_then(error))
    refused = refusal(lambda: write("checkpoint", path), "GSM-106")
    assert (refused.what, refused.where) == (what, str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(error, tmp_path, monkeypatch):
    path = tmp_path / "graph"
    write("graph", path)
    before = path.read_bytes()
    monkeypatch.setattr(container, "_write", partial_then(error))
    with pytest.raises(type(error)):
        write("graph", path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_really_cannot_grow_is_refused_and_removed(tmp_path):
    """The kernel itself refuses to write past 4 kB."""
    path = tmp_path / "checkpoint"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CompileError) as caught:
            write("checkpoint", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "GSM-106"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_as_such(tmp_path):
    """A file system of 64 kB, where it may be mounted; elsewhere the tests above must do."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system may be mounted")
    try:
        (disk / "graph").write_text("old")
        big = {"a": np.zeros(100_000)}
        error = refusal(lambda: write_container(disk / "graph", "graph", 1, {}, big), "GSM-106")
        assert error.what == "disk is full"
        assert [f.name for f in disk.iterdir()] == ["graph"]
        assert (disk / "graph").read_text() == "old"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_interrupt_right_after_the_temporary_file_was_made_leaves_none(tmp_path, monkeypatch):
    close = os.close

    def interrupted(handle):
        close(handle)
        raise KeyboardInterrupt

    monkeypatch.setattr(container.os, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a", "text")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["missing/graph", "file/graph", "folder"])
def test_a_place_where_no_file_can_be_is_refused(place, tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    (tmp_path / "folder").mkdir()
    refusal(lambda: write("graph", tmp_path / place), "GSM-106")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(path, *flags):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(container.os, "open", refuse)
    assert "may be written" in refusal(lambda: write_text(tmp_path / "a", "text"), "GSM-106").remedy


def test_a_new_file_has_the_permissions_that_files_have(tmp_path):
    write_text(tmp_path / "plain", "text")
    write_container(tmp_path / "arrays", "graph", 1, {}, {"a": np.ones(3)})
    (tmp_path / "usual").write_text("text")
    for name in ("plain", "arrays"):
        assert (tmp_path / name).stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_is_written_is_what_safetensors_reads(tmp_path):
    """The judge is the library itself: every type and shape, bytes in either order, names in any alphabet."""
    arrays = {f"a.{d}": np.arange(6).reshape(2, 3).astype(d) for d in (*container.DTYPES.values(), ">f8", ">i2")}
    arrays |= {"empty": np.zeros((0, 4)), "one": np.float32(2).reshape(()), "größe": np.ones(1, np.uint8)}
    write_container(tmp_path / "file", "graph", 1, {"text": "größe"}, arrays)
    with container.safe_open(tmp_path / "file", framework="numpy") as file:
        assert file.metadata()["gossamer"] == "graph"
        found = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], array)


def test_a_reader_killed_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    """SIGKILL while the temporary file is being written; only that file may stay behind."""
    program = (
        "import os, signal, numpy as np\n"
        "from gossamer.compiler import container\n"
        "container._write = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "container.write_container('graph', 'graph', 1, {}, {'a': np.ones(3)})\n"
    )
    (tmp_path / "graph").write_text("old")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == -9
    assert (tmp_path / "graph").read_text() == "old"
    assert all(f.name == "graph" or f.name.endswith(".tmp") for f in tmp_path.iterdir())


def test_every_array_and_every_field_is_under_a_checksum(tmp_path):
    """A change of one array or one header field, without new checksums, is damage."""
    path = tmp_path / "checkpoint"
    write("checkpoint", path)
    with container.safe_open(path, framework="numpy") as file:
        metadata, arrays = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    for name in arrays:
        changed = {**arrays, name: np.asarray(arrays[name] + 1)}
        save_file(changed, tmp_path / "changed", metadata)
        assert name in refusal(lambda: load_checkpoint(tmp_path / "changed"), "GSM-104").where
    header = json.loads(metadata["header"])
    header["network"]["n_steps"] += 1
    save_file(arrays, tmp_path / "changed", {**metadata, "header": json.dumps(header)})
    refusal(lambda: load_checkpoint(tmp_path / "changed"), "GSM-104")
    save_file({k: v for k, v in arrays.items() if k != name}, tmp_path / "changed", metadata)
    refusal(lambda: load_checkpoint(tmp_path / "changed"), "GSM-104")


def test_a_forged_file_without_a_change_is_the_file(whole, tmp_path):
    load, path, original = whole
    shutil.copy(path, tmp_path / "copy")
    assert_identical(load(forge(tmp_path / "copy", lambda header, arrays: None)), original)
