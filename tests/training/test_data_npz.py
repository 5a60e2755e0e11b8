"""`--data FILE.npz`."""

import io

import numpy as np
import pytest

from gossamer.training.data import read_npz
from gossamer.training.errors import TrainingError

X = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)


def refused(path, code="GSM-602"):
    with pytest.raises(TrainingError) as caught:
        read_npz(path)
    assert caught.value.code == code
    assert caught.value.where == str(path)
    return str(caught.value)


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_x_is_read_with_and_without_labels(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=X, y=np.array([2, 0, 1], np.uint8), other=X)
    data = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.x, X)
    assert data.y.tolist() == [2, 0, 1]
    assert (data.x.dtype, data.y.dtype, data.n_samples) == (np.float32, np.int64, 3)
    assert read_npz(write(tmp_path / "b.npz", x=X)).y is None


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float64, ">f4", ">i2"])
def test_any_real_type_becomes_float32(dtype, tmp_path):
    x = np.array([[0, 1], [1, 1]], dtype)
    data = read_npz(write(tmp_path / "a.npz", x=x))
    assert data.x.tolist() == [[0, 1], [1, 1]]
    assert data.x.dtype == np.float32


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(3),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.zeros((2, 2), complex),
        np.array([["a"]]),
        np.array([[1, np.nan]]),
        np.array([[1, -np.inf]]),
        np.array([[1e39]]),
        np.array([[2**24 + 1]]),
        np.array([[2**63]], np.uint64),
        np.zeros((2, 2), [("a", "f4")]),
        np.zeros((2, 2), "M8[s]"),
    ],
)
def test_an_x_that_is_no_finite_real_array_of_samples_is_refused(x, tmp_path):
    refused(write(tmp_path / "a.npz", x=x))


def test_a_value_that_is_not_finite_is_placed(tmp_path):
    x = X.copy()
    x[2, 1, 3] = np.nan
    assert "nan at (2, 1, 3)" in refused(write(tmp_path / "a.npz", x=x))


def test_objects_are_refused_and_never_unpickled(tmp_path):
    assert "allow_pickle" in refused(write(tmp_path / "a.npz", x=np.array([[{}]])))
    assert "allow_pickle" in refused(write(tmp_path / "a.npz", x=X, y=np.array([{}, 1, 2])))


@pytest.mark.parametrize(
    ("y", "code"),
    [
        (np.array([0, 1]), "GSM-605"),
        (np.array([[0, 1, 1]]), "GSM-605"),
        (np.array([0, 1, -1]), "GSM-605"),
        (np.array([0, 1, 2**63], np.uint64), "GSM-605"),
        (np.array([0.0, 1, 2]), "GSM-602"),
        (np.array(["a", "b", "c"]), "GSM-602"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, code, tmp_path):
    refused(write(tmp_path / "a.npz", x=X, y=y), code)


def test_a_missing_key_names_the_keys_that_are_there(tmp_path):
    assert "found: data, label" in refused(write(tmp_path / "a.npz", data=X, label=X))
    assert "no array" in refused(write(tmp_path / "a.npz"))


def test_what_is_no_npz_file_is_refused(tmp_path):
    refused(tmp_path / "gone.npz", "GSM-601")
    refused(tmp_path, "GSM-601")
    np.save(tmp_path / "a.npy", X)
    refused(tmp_path / "a.npy")
    (tmp_path / "empty.npz").write_bytes(b"")
    refused(tmp_path / "empty.npz")


def test_damaged_files_are_refused_without_a_traceback(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=X[:1], y=np.array([1]))
    whole = buffer.getvalue()
    path = tmp_path / "a.npz"
    rng = np.random.default_rng(0)
    n_refused = 0
    for cut in range(len(whole)):
        damaged = bytearray(whole)
        damaged[cut] ^= rng.integers(1, 256)
        for content in (whole[:cut], bytes(damaged)):
            path.write_bytes(content)
            try:
                read_npz(path)
            except TrainingError:
                n_refused += 1
    assert n_refused > len(whole)
