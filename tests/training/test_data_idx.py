"""MNIST and Fashion-MNIST from IDX files that the tests write."""

import gzip
import struct

import numpy as np
import pytest

from gossamer.training.data import idx as idx_module
from gossamer.training.data import load_dataset
from gossamer.training.errors import TrainingError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
LABELS = np.array([3, 0, 9, 3], np.uint8)


def idx_bytes(array, magic=None):
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, *, images=None, labels=None, prefix="train", pack=None):
    folder.mkdir(parents=True, exist_ok=True)
    suffix, pack = (".gz", pack) if pack else ("", bytes)
    images = idx_bytes(IMAGES) if images is None else images
    labels = idx_bytes(LABELS) if labels is None else labels
    (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(pack(images))
    (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(pack(labels))


def refused(root, code, split="train"):
    with pytest.raises(TrainingError) as caught:
        load_dataset("mnist", split, root=root)
    assert caught.value.code == code
    assert caught.value.where
    return str(caught.value)


@pytest.mark.parametrize("pack", [None, gzip.compress])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"),
        ("mnist", "mnist"),
        ("mnist", "."),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
    ],
)
def test_plain_and_compressed_files_are_read_from_every_layout(name, folder, pack, tmp_path):
    write_mnist(tmp_path / folder, prefix="t10k", pack=pack)
    data = load_dataset(name, "test", root=tmp_path)
    assert (data.name, data.split, data.n_classes) == (name, "test", 10)
    np.testing.assert_array_equal(data.x[:, 0], IMAGES)
    assert data.y.tolist() == LABELS.tolist()


def test_fashion_mnist_never_takes_the_files_of_mnist(tmp_path):
    write_mnist(tmp_path)
    with pytest.raises(TrainingError, match="GSM-601"):
        load_dataset("fashion-mnist", "train", root=tmp_path)


def test_images_without_labels_are_refused(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert "train-labels-idx1-ubyte" in refused(tmp_path, "GSM-601")


def test_more_labels_than_images_are_refused(tmp_path):
    write_mnist(tmp_path, labels=idx_bytes(np.zeros(5, np.uint8)))
    assert "found: 5" in refused(tmp_path, "GSM-605")


def test_a_label_above_nine_is_refused(tmp_path):
    write_mnist(tmp_path, labels=idx_bytes(np.array([1, 2, 10, 0], np.uint8)))
    assert "0 … 9" in refused(tmp_path, "GSM-605")


@pytest.mark.parametrize("magic", ["00000d03", "00000801", "00000804", "89504e47", "1f8b0800"])
def test_a_wrong_magic_number_is_refused(magic, tmp_path):
    write_mnist(tmp_path, images=idx_bytes(IMAGES, bytes.fromhex(magic)))
    assert f"found: 0x{magic}; expected: 0x00000803" in refused(tmp_path, "GSM-602")


def test_images_of_another_size_are_refused(tmp_path):
    write_mnist(tmp_path, images=idx_bytes(IMAGES[:, :14]))
    assert "found: (14, 28)" in refused(tmp_path, "GSM-602")


@pytest.mark.parametrize("length", [0, 3, 4, 15, 16, 17, 16 + 4 * 784 - 1])
def test_a_truncated_file_is_refused(length, tmp_path):
    write_mnist(tmp_path, images=idx_bytes(IMAGES)[:length])
    refused(tmp_path, "GSM-602")


def test_trailing_bytes_are_refused(tmp_path):
    write_mnist(tmp_path, images=idx_bytes(IMAGES) + b"\0")
    assert "more bytes" in refused(tmp_path, "GSM-602")


def test_a_header_that_states_an_absurd_size_is_refused_before_anything_is_allocated(tmp_path, monkeypatch):
    write_mnist(tmp_path, images=bytes([0, 0, 8, 3]) + b"\xff" * 12)
    assert "absurd" in refused(tmp_path, "GSM-602")
    write_mnist(tmp_path, images=idx_bytes(IMAGES[:0]))
    refused(tmp_path, "GSM-602")
    monkeypatch.setattr(idx_module, "MAX_BYTES", 100)
    write_mnist(tmp_path)
    refused(tmp_path, "GSM-602")


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-20],
        lambda packed: packed[:-8] + bytes(4) + packed[-4:],  # the CRC
        lambda packed: packed[:30] + bytes(50) + packed[80:],
        lambda packed: b"no gzip at all",
    ],
)
def test_a_damaged_gzip_file_is_refused(damage, tmp_path):
    write_mnist(tmp_path, pack=lambda content: damage(gzip.compress(content)) if len(content) > 99 else content)
    assert "train-images-idx3-ubyte.gz" in refused(tmp_path, "GSM-602")
