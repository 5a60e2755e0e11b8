"""SVHN from files made here, whole and broken."""

import numpy as np
import pytest
from scipy.io import savemat

from gossamer.training.data import load_dataset
from gossamer.training.errors import TrainingError


def content(n=20, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
    return {"X": rng.integers(0, 256, (32, 32, 3, n), np.uint8), "y": labels}


def write(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, content() | changes, do_compression=True)
    return path


@pytest.mark.parametrize("folder", ["svhn", "SVHN", "."])
def test_pictures_and_digits_are_those_of_the_file(folder, tmp_path):
    made = {split: content(seed=i) for i, split in enumerate(("train", "test"))}
    for split, variables in made.items():
        write(tmp_path / folder / f"{split}_32x32.mat", **variables)
    for split, variables in made.items():
        dataset = load_dataset("svhn", split, root=tmp_path)
        assert (dataset.shape, dataset.n_samples, dataset.n_classes) == ((3, 32, 32), 20, 10)
        for i in range(20):
            for channel in range(3):
                np.testing.assert_array_equal(dataset.x[i, channel], variables["X"][:, :, channel, i])
        assert dataset.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2
        assert dataset.class_names[0] == "0"


def test_labels_may_be_doubles(tmp_path):
    write(tmp_path / "train_32x32.mat", y=content()["y"].astype(np.float64))
    assert load_dataset("svhn", "train", root=tmp_path).y[9] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.zeros((3, 32, 32, 20), np.uint8)}, "SVHN images"),
        ({"X": np.zeros((32, 32, 3, 20))}, "double"),
        ({"X": np.zeros((32, 32, 3), np.uint8)}, "SVHN images"),
        ({"X": "text"}, "SVHN images"),
        ({"y": np.zeros((4, 5), np.uint8)}, "labels"),
        ({"y": "text"}, "labels"),
        ({"y": np.zeros((20, 1), np.uint8)}, "found: 0"),
        ({"y": np.full((20, 1), 11, np.uint8)}, "found: 11"),
        ({"y": np.full((20, 1), 1.5)}, "found: 1.5"),
        ({"y": np.full((20, 1), np.nan)}, "found: nan"),
    ],
)
def test_other_contents_are_refused(changes, message, tmp_path):
    write(tmp_path / "train_32x32.mat", **changes)
    with pytest.raises(TrainingError, match=message) as caught:
        load_dataset("svhn", "train", root=tmp_path)
    assert caught.value.code == "GSM-602"
    assert "train_32x32.mat" in str(caught.value)


def test_a_missing_variable_is_named(tmp_path):
    savemat(tmp_path / "train_32x32.mat", {"X": content()["X"]})
    with pytest.raises(TrainingError, match=r"GSM-602.*'y'.*nothing"):
        load_dataset("svhn", "train", root=tmp_path)


def test_labels_for_other_images_are_refused(tmp_path):
    write(tmp_path / "train_32x32.mat", y=np.ones((19, 1), np.uint8))
    with pytest.raises(TrainingError, match="GSM-605"):
        load_dataset("svhn", "train", root=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "hdf5", "flipped"])
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = write(tmp_path / "train_32x32.mat")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "text": b"<html>not found</html>" * 20,
            "hdf5": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 30,
            "flipped": bytes(flipped),
        }[damage]
    )
    with pytest.raises(TrainingError, match=r"GSM-602.*train_32x32\.mat"):
        load_dataset("svhn", "train", root=tmp_path)


def test_a_missing_file_says_where_it_was_sought(tmp_path):
    write(tmp_path / "svhn" / "train_32x32.mat")
    with pytest.raises(TrainingError, match=r"GSM-601.*SVHN/test_32x32\.mat"):
        load_dataset("svhn", "test", root=tmp_path)
