"""A small valid chip file, and layers to price."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gossamer.hwmodels import EventCounts, LayerActivity, LayerMemory

SMALL_CHIP = """
name = "small"
description = "A chip for tests; its figures are invented"
source = "invented"
default_price_list = "main"

[[memories.near-far]]
max_bytes = 100
pj_per_access = 8
access_bits = 64
scope = "per-term"
basis = "measured"
node = "45 nm"
source = "near source"
grade = "P"

[[memories.near-far]]
max_bytes = 1000
pj_per_access = 16
high_pj_per_access = 32
access_bits = 32
scope = "per-term"
basis = "measured"
node = "45 nm"
source = "far source"
grade = "P"

[price_lists.main]
label = "main"
description = "for tests"

[price_lists.main.prices]
weight_read_byte = "near-far"
state_read_byte = "near-far"

[price_lists.main.prices.synaptic_op]
value = 2.0
low = 1.0
high = 5.0
unit = "pJ"
scope = "per-term"
basis = "measured"
node = "45 nm"
voltage = "1 V"
source = "op source"
grade = "P"
note = "op note"

[price_lists.main.prices.hop]
value = 0.5
unit = "nJ"
scope = "per-term"
basis = "measured"
node = "45 nm"
source = "hop source"
grade = "S"

[price_lists.main.excluded]
spike = "free here"

[price_lists.all-in]
label = "all-in"
description = "for tests"

[price_lists.all-in.prices.synaptic_op]
value = 400
unit = "fJ"
scope = "all-in"
basis = "measured"
node = "45 nm"
source = "all-in source"
grade = "P"
"""


@pytest.fixture
def small_chip_text() -> str:
    return SMALL_CHIP


@pytest.fixture
def small_chip(tmp_path: Path) -> str:
    """Path of the small chip's file."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL_CHIP, encoding="utf-8")
    return str(path)


@pytest.fixture
def layer() -> Callable[..., LayerActivity]:
    """`layer("fc1", synaptic_ops=3, memory=LayerMemory(...))`."""

    def make(name: str = "fc1", *, memory: LayerMemory | None = None, **counts: int) -> LayerActivity:
        return LayerActivity(
            name=name, n_neurons=10, n_synapses=50, counts=EventCounts(**counts), memory=memory or LayerMemory()
        )

    return make
