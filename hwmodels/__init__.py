"""What a chip can bill for, what it can hold, and what it charges. Imports nothing else of Gossamer's.

The simulator fills `LayerActivity` with `EventCounts`; `price` turns them into an `EnergyReport` by one of the price
lists of a `Chip`, which is one TOML file in `chips/`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .activity import LayerActivity, LayerMemory
from .errors import GossamerError, HardwareError
from .events import EVENT_NAMES, EVENTS, Event, EventCounts, bytes_per_index, neuron_events, synapse_events

if TYPE_CHECKING:
    from .chip import Capacities, Chip, MemoryTier, Mesh, Price, PriceList
    from .chip_file import chip_and_prices, list_chips, load_chip
    from .energy import price
    from .report import EnergyLine, EnergyReport

# What needs pydantic is imported when it is first used: the simulator, which needs none of it, starts sooner.
_HOME = {
    **dict.fromkeys(("Capacities", "Chip", "MemoryTier", "Mesh", "Price", "PriceList"), "chip"),
    **dict.fromkeys(("chip_and_prices", "list_chips", "load_chip"), "chip_file"),
    **dict.fromkeys(("EnergyLine", "EnergyReport"), "report"),
    "price": "energy",
}

__all__ = [
    "EVENTS",
    "EVENT_NAMES",
    "Capacities",
    "Chip",
    "EnergyLine",
    "EnergyReport",
    "Event",
    "EventCounts",
    "GossamerError",
    "HardwareError",
    "LayerActivity",
    "LayerMemory",
    "MemoryTier",
    "Mesh",
    "Price",
    "PriceList",
    "bytes_per_index",
    "chip_and_prices",
    "list_chips",
    "load_chip",
    "neuron_events",
    "price",
    "synapse_events",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value
