"""Fixtures for training: one thread, so that nothing waits for a busy core."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def noise_images():
    """23 noise images of 3x8x8 in ten classes."""
    from gossamer.training import Dataset

    rng = np.random.default_rng(0)
    return Dataset(
        name="noise",
        x=rng.integers(0, 256, (23, 3, 8, 8), np.uint8),
        y=np.arange(23, dtype=np.int64) % 10,
        n_classes=10,
        split="test",
        class_names=tuple("abcdefghij"),
    )
