"""CIFAR-10 and CIFAR-100 from pickles that the tests write, harmless and not."""

import os
import pickle
import pickletools
import struct

import numpy as np
import pytest

from gossamer.training.data import load_dataset
from gossamer.training.data.cifar_pickle import read_cifar_pickle
from gossamer.training.errors import TrainingError

N = 3


def python2_pickle(fields):
    """A protocol 2 pickle as Python 2 and its NumPy wrote CIFAR: byte strings, the module numpy.core.multiarray.

    fields: str -> str | list[int] | list[str] | (n, m) uint8 array.
    """

    def string(value):
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<I", len(value)) + value

    def integer(value):
        return b"J" + struct.pack("<i", value)

    def item(value):
        if isinstance(value, str):
            return string(value.encode())
        if isinstance(value, list):
            return b"](" + b"".join(integer(v) if isinstance(v, int) else string(v.encode()) for v in value) + b"e"
        rows, columns = value.shape
        dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + string(b"|") + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
        shape = integer(rows) + integer(columns) + b"\x86"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + string(value.tobytes()) + b"tb"

    return b"\x80\x02}(" + b"".join(string(k.encode()) + item(v) for k, v in fields.items()) + b"u."


def batch(seed, labels=(1, 0, 9), field="labels"):
    data = np.random.default_rng(seed).integers(0, 256, (N, 3072), np.uint8)
    return {"batch_label": "batch", field: list(labels), "data": data, "filenames": ["a.png", "b.png", "c.png"]}


def write_cifar10(root, dump=python2_pickle):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}").write_bytes(dump(batch(i)))
    (folder / "test_batch").write_bytes(dump(batch(6)))
    return folder


def later_pickle(protocol, as_arrays=False):
    def dump(fields):
        content = {key.encode(): value for key, value in fields.items()}
        content[b"data"] = np.asfortranarray(content[b"data"]) if as_arrays else content[b"data"]
        content[b"labels"] = np.array(content[b"labels"], ">i4") if as_arrays else content[b"labels"]
        return pickle.dumps(content, protocol=protocol)

    return dump


def test_the_python_2_pickle_of_these_tests_is_one():
    names = {(op.name, value) for op, value, _ in pickletools.genops(python2_pickle(batch(0)))}
    assert ("GLOBAL", "numpy.core.multiarray _reconstruct") in names
    assert ("PROTO", 2) in names


@pytest.mark.parametrize(
    "dump", [python2_pickle, *(later_pickle(p) for p in range(6)), *(later_pickle(p, as_arrays=True) for p in (2, 5))]
)
def test_cifar10_is_read_as_python_2_wrote_it_and_as_later_ones_copy_it(dump, tmp_path):
    write_cifar10(tmp_path, dump)
    train, test = load_dataset("cifar10", "train", root=tmp_path), load_dataset("cifar10", "test", root=tmp_path)
    assert (train.n_samples, train.shape, train.class_names[9]) == (5 * N, (3, 32, 32), "truck")
    np.testing.assert_array_equal(train.x[N].ravel(), batch(2)["data"][0])
    np.testing.assert_array_equal(test.x.reshape(N, -1), batch(6)["data"])
    assert test.y.tolist() == [1, 0, 9]


def test_a_missing_batch_is_named(tmp_path):
    folder = write_cifar10(tmp_path)
    (folder / "data_batch_4").unlink()
    with pytest.raises(TrainingError, match=r"GSM-601.*data_batch_4"):
        load_dataset("cifar10", "train", root=tmp_path)


def test_cifar100_gives_the_fine_labels_and_their_names(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    fields = batch(0, labels=(99, 0, 5), field="fine_labels") | {"coarse_labels": [1, 2, 3]}
    (folder / "train").write_bytes(python2_pickle(fields))
    with pytest.raises(TrainingError, match=r"GSM-601.*meta"):
        load_dataset("cifar100", "train", root=tmp_path)
    (folder / "meta").write_bytes(python2_pickle({"fine_label_names": [f"class {i}" for i in range(100)]}))
    data = load_dataset("cifar100", "train", root=tmp_path)
    assert data.y.tolist() == [99, 0, 5]
    assert data.class_names[99] == "class 99"
    (folder / "meta").write_bytes(python2_pickle({"fine_label_names": ["class 0"]}))
    with pytest.raises(TrainingError, match="GSM-605"):
        load_dataset("cifar100", "train", root=tmp_path)
    (folder / "meta").write_bytes(python2_pickle({"other": [1]}))
    with pytest.raises(TrainingError, match=r"GSM-602.*fine_label_names"):
        load_dataset("cifar100", "train", root=tmp_path)


class Executes:
    """An object whose pickle has a function called."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_execute_something_is_refused_and_executes_nothing(protocol, tmp_path):
    victim = tmp_path / "touched"
    folder = write_cifar10(tmp_path)
    attack = {b"data": Executes(os.mkdir, str(victim)), b"labels": [1]}
    (folder / "test_batch").write_bytes(pickle.dumps(attack, protocol=protocol))
    with pytest.raises(TrainingError, match=r"refused to execute \w+\.mkdir") as caught:
        load_dataset("cifar10", "test", root=tmp_path)
    assert caught.value.code == "GSM-602"
    assert caught.value.where == str(folder / "test_batch")
    assert not victim.exists()


@pytest.mark.parametrize(
    "asked",
    [
        b"cbuiltins\neval\n", b"c__builtin__\ngetattr\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nfromfile\n",
        b"cnumpy\nndarray.tofile\n", b"c_codecs\nlookup\n", b"cos\nsystem\n", b"ccopyreg\n_reconstructor\n",
        b"c\x1b[31m\nred\n",
    ],
)  # fmt: skip
def test_every_other_name_is_refused(asked, tmp_path):
    path = tmp_path / "test_batch"
    path.write_bytes(b"\x80\x02" + asked + b".")
    with pytest.raises(TrainingError, match="refused to execute") as caught:
        read_cifar_pickle(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        np.zeros(3, object),
        np.zeros(3, np.float32),
        np.zeros(3, "U4"),
        np.zeros(3, [("a", "u1")]),
        Executes(np._core.multiarray.scalar, np.dtype("u1"), b"too long"),
        Executes(np.ndarray, (10**12,)),
    ],
)
def test_arrays_of_anything_but_integers_are_refused(content, tmp_path):
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({b"data": content}, protocol=2))
    with pytest.raises(TrainingError, match="GSM-602"):
        read_cifar_pickle(path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": np.zeros((N, 3071), np.uint8)}, "GSM-602"),
        ({"data": [1, 2]}, "GSM-602"),
        ({"labels": ["cat", "dog", "cat"]}, "GSM-602"),
        ({"labels": "cat"}, "GSM-602"),
        ({"labels": [1, 2]}, "GSM-605"),
        ({"labels": [1, 2, 10]}, "GSM-605"),
        ({"labels": [1, 2, -1]}, "GSM-605"),
    ],
)
def test_wrong_fields_are_refused(change, code, tmp_path):
    folder = write_cifar10(tmp_path)
    (folder / "test_batch").write_bytes(python2_pickle(batch(0) | change))
    with pytest.raises(TrainingError) as caught:
        load_dataset("cifar10", "test", root=tmp_path)
    assert caught.value.code == code


def test_damaged_pickles_are_refused_without_a_traceback(tmp_path):
    path = tmp_path / "test_batch"
    whole = python2_pickle(batch(0) | {"data": np.zeros((1, 12), np.uint8)})
    rng = np.random.default_rng(0)
    n_refused = 0
    for cut in range(len(whole)):
        damaged = bytearray(whole)
        damaged[cut] = rng.integers(256)
        for content in (whole[:cut], bytes(damaged)):
            path.write_bytes(content)
            try:
                read_cifar_pickle(path)
            except TrainingError as error:
                n_refused += error.code == "GSM-602"
    assert n_refused >= len(whole)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(TrainingError, match="holds no dict"):
        read_cifar_pickle(path)
