"""The real data sets under GOSSAMER_DATA."""

import numpy as np
import pytest

from gossamer.training.data import load_dataset

pytestmark = pytest.mark.data

EXPECTED = {
    ("mnist", "train"): ((1, 28, 28), 60000, 10),
    ("mnist", "test"): ((1, 28, 28), 10000, 10),
    ("cifar10", "train"): ((3, 32, 32), 50000, 10),
    ("cifar10", "test"): ((3, 32, 32), 10000, 10),
}


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(("name", "split"), EXPECTED)
def test_mnist_and_cifar10_are_whole(name, split, data_root, shared_cache, monkeypatch):
    monkeypatch.setenv("GOSSAMER_CACHE", str(shared_cache))
    data = load_dataset(name, split, root=data_root)
    assert (data.shape, data.n_samples, data.n_classes) == EXPECTED[name, split]
    assert (data.x.min(), data.x.max()) == (0, 255)
    if name == "cifar10":
        assert (np.bincount(data.y) == data.n_samples // 10).all()


def test_the_first_labels_of_mnist_are_the_well_known_ones(data_root):
    assert load_dataset("mnist", "train", root=data_root).y[:5].tolist() == [5, 0, 4, 1, 9]
    assert load_dataset("mnist", "test", root=data_root).y[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(("split", "per_class"), [("train", 500), ("test", 50)])
def test_tiny_imagenet_has_equally_many_images_of_every_class(split, per_class, data_root, shared_cache, monkeypatch):
    monkeypatch.setenv("GOSSAMER_CACHE", str(shared_cache))
    decoded = load_dataset("tiny-imagenet", split, root=data_root)
    assert decoded.shape == (3, 64, 64)
    assert np.bincount(decoded.y).tolist() == [per_class] * decoded.n_classes
    cached = load_dataset("tiny-imagenet", split, root=data_root)
    np.testing.assert_array_equal(decoded.x, cached.x)
