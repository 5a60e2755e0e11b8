"""What a chip can bill for, what it can hold, and what it charges. Imports nothing else of Gossamer's.

The simulator fills `LayerActivity` with `EventCounts`; `price` turns them into an `EnergyReport` by one of the price
lists of a `Chip`, which is one TOML file in `chips/`.
"""

from .activity import LayerActivity, LayerMemory
from .chip import Capacities, Chip, MemoryTier, Mesh, Price, PriceList
from .chip_file import chip_and_prices, list_chips, load_chip
from .energy import price
from .errors import GossamerError, HardwareError
from .events import EVENT_NAMES, EVENTS, Event, EventCounts, bytes_per_index, neuron_events, synapse_events
from .report import EnergyLine, EnergyReport

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
