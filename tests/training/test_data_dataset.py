"""Dataset, its subsets, and the stratified split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.training.data import Dataset, split_validation
from gossamer.training.data.split import stratified_indices
from gossamer.training.errors import TrainingError


def a_dataset(labels, split="train", n_classes=3):
    y = np.array(labels, np.int64)
    x = np.arange(len(y) * 6, dtype=np.int64).reshape(len(y), 1, 2, 3).astype(np.uint8)
    names = tuple("abcdefghij"[:n_classes])
    return Dataset(name="made", x=x, y=y, n_classes=n_classes, split=split, class_names=names)


def test_a_dataset_tells_its_size_and_scales_its_pixels():
    data = a_dataset([0, 1, 2, 1])
    assert (data.n_samples, data.shape) == (4, (1, 2, 3))
    assert "4 images 1x2x3, 3 classes" in repr(data)
    images = data.images()
    assert images.dtype == np.float32
    assert images.flags.writeable
    np.testing.assert_array_equal(images, data.x.astype(np.float32) / np.float32(255))


def test_the_arrays_are_read_only_and_the_callers_own_stay_writable():
    x, y = np.zeros((2, 1, 1, 1), np.uint8), np.zeros(2, np.int64)
    data = Dataset(name="made", x=x, y=y, n_classes=1, split="train", class_names=("a",))
    assert not data.x.flags.writeable
    assert not data.y.flags.writeable
    assert x.flags.writeable
    assert y.flags.writeable


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.zeros((3, 2, 2), np.uint8)},
        {"x": np.zeros((3, 1, 2, 2), np.float32)},
        {"x": np.zeros((0, 1, 2, 2), np.uint8), "y": np.zeros(0, np.int64)},
        {"x": [[0]]},
        {"y": np.zeros(3, np.int32)},
        {"y": np.zeros((3, 1), np.int64)},
        {"y": np.zeros(4, np.int64)},
        {"y": np.array([0, 1, 2], np.int64)},
        {"y": np.array([0, -1, 1], np.int64)},
        {"class_names": ("a",)},
        {"split": "val"},
    ],
)
def test_fields_that_do_not_agree_are_refused(wrong):
    right = {
        "name": "made", "x": np.zeros((3, 1, 2, 2), np.uint8), "y": np.array([0, 1, 1], np.int64),
        "n_classes": 2, "split": "test", "class_names": ("a", "b"),
    }  # fmt: skip
    Dataset(**right)
    with pytest.raises(TrainingError, match="made") as caught:
        Dataset(**(right | wrong))
    assert caught.value.code == "GSM-605"


def test_take_keeps_the_order_asked_for():
    taken = a_dataset([0, 1, 2, 1]).take([3, 0])
    assert taken.y.tolist() == [1, 0]
    assert taken.x[:, 0, 0, 0].tolist() == [18, 0]


@pytest.mark.parametrize("indices", [[4], [-1], [], [[0]], [0.5], [True, False, True, False]])
def test_take_refuses_what_is_no_list_of_indices(indices):
    with pytest.raises(TrainingError, match="GSM-605"):
        a_dataset([0, 1, 2, 1]).take(indices)


def test_limit_takes_every_class_even_where_samples_stand_sorted_by_class():
    data = a_dataset([0, 0, 0, 1, 1, 1, 2])
    assert data.limit(3).y.tolist() == [0, 1, 2]
    assert data.limit(5).y.tolist() == [0, 0, 1, 1, 2]
    assert data.limit(6).x[:, 0, 0, 0].tolist() == [0, 6, 12, 18, 24, 36]
    assert data.limit(7) is data
    assert data.limit(100) is data
    with pytest.raises(TrainingError, match="GSM-605"):
        data.limit(0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 60))
def test_a_smaller_limit_is_contained_in_a_larger_one(labels, n):
    data = a_dataset(labels, n_classes=5)
    small, large = data.limit(n), data.limit(n + 3)
    assert small.n_samples == min(n, len(labels))
    assert set(map(bytes, small.x)) <= set(map(bytes, large.x))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.data())
def test_a_stratified_split_loses_nothing_and_keeps_proportions(labels, data):
    y = np.array(labels, np.int64)
    n_held = data.draw(st.integers(0, len(y)))
    kept, held = stratified_indices(y, n_held, seed=7)
    assert len(held) == n_held
    assert sorted([*kept, *held]) == list(range(len(y)))
    share = np.bincount(y, minlength=5) * n_held / len(y)
    assert (abs(np.bincount(y[held], minlength=5) - share) < 1).all()


def test_split_validation_is_stratified_and_repeats_with_its_seed():
    data = a_dataset([0] * 40 + [1] * 20 + [2] * 20)
    train, validation = split_validation(data, 0.1, seed=3)
    assert np.bincount(validation.y).tolist() == [4, 2, 2]
    assert train.n_samples + validation.n_samples == 80
    np.testing.assert_array_equal(split_validation(data, 0.1, seed=3)[1].x, validation.x)
    assert (split_validation(data, 0.1, seed=4)[1].x != validation.x).any()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.001, 0.999, float("nan")])
def test_split_validation_refuses_an_empty_part(fraction):
    with pytest.raises(TrainingError, match="GSM-605"):
        split_validation(a_dataset([0, 1, 2, 1]), fraction, seed=0)


def test_split_validation_refuses_the_test_set():
    with pytest.raises(TrainingError, match="must not choose"):
        split_validation(a_dataset([0, 1, 2, 1], split="test"), 0.5, seed=0)
