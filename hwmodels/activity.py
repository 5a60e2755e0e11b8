"""What one layer did in a run, and how large the memories are that it did it with: the input of pricing."""

from dataclasses import asdict, dataclass, field, fields

from .errors import HardwareError
from .events import EventCounts, exact_count, shown


@dataclass(frozen=True, kw_only=True)
class LayerMemory:
    """Sizes of the memories that hold a layer's incoming synapses, as stored, and its state. In bytes.

    Args:
        weight_bytes: All stored weights (a shared kernel once, unrolled synapses each).
        index_bytes: All stored indices and row starts.
        state_bytes: Accumulators and state variables of all neurons.
    Raises: HardwareError: GSM-504, on a size that is negative or no integer.
    """

    weight_bytes: int = 0
    index_bytes: int = 0
    state_bytes: int = 0

    def __post_init__(self) -> None:
        for part in fields(self):
            object.__setattr__(self, part.name, exact_count(getattr(self, part.name), where=part.name))

    @property
    def synapse_bytes(self) -> int:
        """Weights and indices together: they lie in one memory."""
        return self.weight_bytes + self.index_bytes

    def to_dict(self) -> dict[str, int]:
        """Field name -> bytes."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class LayerActivity:
    """What one population did in a run, summed over samples and steps.

    Args:
        name: The population's name.
        n_neurons: Its neurons.
        n_synapses: Non-zero synapses that lead into it, counted as edges (unrolled).
        counts: Its own spikes and updates, and the operations and bytes of its incoming synapses.
        memory: Sizes of the memories behind those bytes.
    Raises: HardwareError: GSM-504, on an empty name, an invalid number or a part of the wrong type.
    """

    name: str
    n_neurons: int
    n_synapses: int
    counts: EventCounts
    memory: LayerMemory = field(default_factory=LayerMemory)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise HardwareError("GSM-504", "a layer needs a name", found=shown(self.name), expected="a non-empty text")
        for part, kind in (("counts", EventCounts), ("memory", LayerMemory)):
            if not isinstance(getattr(self, part), kind):
                raise HardwareError(
                    "GSM-504",
                    f"{part} of the wrong type",
                    where=f"layer {self.name!r}",
                    found=type(getattr(self, part)).__name__,
                    expected=kind.__name__,
                )
        for part in ("n_neurons", "n_synapses"):
            count = exact_count(getattr(self, part), where=f"layer {self.name!r}: {part}")
            object.__setattr__(self, part, count)
