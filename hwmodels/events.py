"""What a chip can bill for: the events of a run, counted as exact integers."""

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from .errors import HardwareError

Event = Literal[
    "spike",
    "synaptic_op",
    "mac",
    "neuron_update",
    "weight_read_byte",
    "index_read_byte",
    "state_read_byte",
    "state_write_byte",
    "packet",
    "hop",
]

EVENTS: Final[Mapping[Event, str]] = {
    "spike": "spikes",
    "synaptic_op": "synaptic_ops",
    "mac": "macs",
    "neuron_update": "neuron_updates",
    "weight_read_byte": "weight_read_bytes",
    "index_read_byte": "index_read_bytes",
    "state_read_byte": "state_read_bytes",
    "state_write_byte": "state_write_bytes",
    "packet": "packets",
    "hop": "hops",
}
"""Billable event (the key of a price) -> the field of `EventCounts` that holds how many there were."""

EVENT_NAMES: Final[tuple[str, ...]] = tuple(EVENTS.values())
"""The fields of `EventCounts`, in order."""

ACCUMULATOR_BYTES: Final = 4
"""Bytes that one synaptic operation reads, and writes back, to add a weight to its target's input."""

STATE_VARIABLE_BYTES: Final = 4
"""Bytes of one state variable (membrane, synaptic current) of one neuron."""


def exact_count(value: object, *, where: str) -> int:
    """Return `value` as a Python int.

    Args:
        value: A Python or NumPy integer, >= 0. A bool is refused: it is a flag, not a number of events.
        where: What is being counted, for the message.
    Raises: HardwareError: GSM-504, if `value` is no integer or is negative.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what is no integer raises TypeError
    except TypeError:
        number = -1
    if number < 0 or isinstance(value, bool):
        raise HardwareError(
            "GSM-504",
            "a count must be an exact integer",
            where=where,
            found=shown(value),
            expected="an integer >= 0",
            remedy="count events with integers; float totals lose events above 2**53",
        )
    return number


def shown(value: object, *, limit: int = 80) -> str:
    """`repr(value)`, cut to `limit` characters, for messages about values that nobody has checked yet."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python agrees to print
        text = f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class EventCounts:
    """How often each billable event happened. Exact integers >= 0; adds up with `+` and `sum()`.

    Counts of a layer belong to the population that the layer is: its own spikes and updates, and the operations,
    bytes, packets and hops of the synapses that lead *into* it.

    Args:
        spikes: Neurons that fired, once per neuron and step. A graded spike counts once, whatever its value.
        synaptic_ops: Accumulates: a binary spike visiting a non-zero synapse. Counted at the step in which the
            source spike is emitted (also where the synapse has a delay), one per non-zero synapse that is really
            there: padding edges and pruned weights cost nothing.
        macs: Multiply-accumulates: the same visit by a graded spike or a real-valued input (which is an event
            wherever it is not 0).
        neuron_updates: Neurons x steps, for every population that is not an input. An undisturbed neuron counts
            too: the engine may skip it, the model's equations do not.
        weight_read_bytes: (synaptic_ops + macs) x bytes of one stored weight.
        index_read_bytes: (synaptic_ops + macs) x bytes of the narrowest unsigned index that addresses the target
            population (`bytes_per_index`), the same for shared and for unrolled synapses.
        state_read_bytes: 4 per synaptic_op or mac (its accumulator) + 4 per neuron update and state variable
            (8 per update in all for neurons with a synaptic current).
        state_write_bytes: As `state_read_bytes`: what is read is written back.
        packets: Messages between cores; 0 without a mapping.
        hops: Links between neighbouring routers that those messages crossed; 0 without a mapping.
    Raises: HardwareError: GSM-504, on a count that is negative or no integer.
    """

    spikes: int = 0
    synaptic_ops: int = 0
    macs: int = 0
    neuron_updates: int = 0
    weight_read_bytes: int = 0
    index_read_bytes: int = 0
    state_read_bytes: int = 0
    state_write_bytes: int = 0
    packets: int = 0
    hops: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, exact_count(getattr(self, field.name), where=field.name))

    def __add__(self, other: object) -> "EventCounts":
        if not isinstance(other, EventCounts):
            return NotImplemented
        return EventCounts(**{name: getattr(self, name) + getattr(other, name) for name in EVENT_NAMES})

    def __radd__(self, other: object) -> "EventCounts":
        """Let `sum()` start at its 0."""
        return self if type(other) is int and other == 0 else NotImplemented

    def of(self, event: Event) -> int:
        """How many of `event` there were: `counts.of("mac")` is `counts.macs`."""
        return int(getattr(self, EVENTS[event]))

    def to_dict(self) -> dict[str, int]:
        """Field name -> count, in the order of `EVENT_NAMES`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EventCounts":
        """Read what `to_dict` wrote. A missing name counts 0.

        Raises: HardwareError: GSM-504, on an unknown name or an invalid count.
        """
        if not isinstance(data, Mapping):
            raise HardwareError(
                "GSM-504", "counts must be a table", found=shown(data), expected="a mapping of event names to counts"
            )
        for name in data:
            if name not in EVENT_NAMES:
                raise HardwareError(
                    "GSM-504",
                    "unknown event",
                    where="counts",
                    found=shown(name),
                    expected="one of " + ", ".join(EVENT_NAMES),
                    remedy="was the file written by a newer version?",
                )
        return cls(**data)


def bytes_per_index(n_targets: int) -> int:
    """Bytes of the index that addresses one of `n_targets` neurons: 2 below 65,536 neurons, else 4."""
    return 2 if exact_count(n_targets, where="n_targets") < 65_536 else 4


def synapse_events(*, synaptic_ops: int = 0, macs: int = 0, bytes_per_weight: int, n_targets: int) -> EventCounts:
    """Count the operations of one projection together with the bytes that they move.

    Args:
        synaptic_ops: Non-zero synapses that binary spikes visited.
        macs: Non-zero synapses that graded spikes or real-valued inputs visited.
        bytes_per_weight: Bytes of one stored weight.
        n_targets: Neurons of the target population; sets the width of an index.
    Returns: The operations, their weight and index reads, and their accumulators' reads and writes.
    Raises: HardwareError: GSM-504, on a negative or non-integer argument.
    """
    visits = exact_count(synaptic_ops, where="synaptic_ops") + exact_count(macs, where="macs")
    return EventCounts(
        synaptic_ops=synaptic_ops,
        macs=macs,
        weight_read_bytes=visits * exact_count(bytes_per_weight, where="bytes_per_weight"),
        index_read_bytes=visits * bytes_per_index(n_targets),
        state_read_bytes=visits * ACCUMULATOR_BYTES,
        state_write_bytes=visits * ACCUMULATOR_BYTES,
    )


def neuron_events(*, spikes: int = 0, neuron_updates: int, n_state_variables: int = 1) -> EventCounts:
    """Count the updates and spikes of one population together with the bytes that the updates move.

    Args:
        spikes: Neurons that fired, summed over steps.
        neuron_updates: Neurons x steps.
        n_state_variables: 1 (membrane), or 2 with a synaptic current.
    Returns: Spikes, updates, and the updates' state reads and writes.
    Raises: HardwareError: GSM-504, on a negative or non-integer argument.
    """
    updates = exact_count(neuron_updates, where="neuron_updates")
    moved = updates * exact_count(n_state_variables, where="n_state_variables") * STATE_VARIABLE_BYTES
    return EventCounts(spikes=spikes, neuron_updates=updates, state_read_bytes=moved, state_write_bytes=moved)
