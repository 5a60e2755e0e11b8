"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, and how many networks that drawing makes are refused, says nothing on a shared machine.
settings.register_profile("gossamer", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("gossamer")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real data sets, named by GOSSAMER_DATA; the test is skipped without it."""
    root = os.environ.get("GOSSAMER_DATA")
    if not root:
        pytest.skip("GOSSAMER_DATA is not set")
    return Path(root)


@pytest.fixture
def small_network():
    """A convolutional SNN on 3x8x8 pictures: normalisation, batch norm, average pooling, readout."""
    from networks import small_convolutional

    return small_convolutional()
