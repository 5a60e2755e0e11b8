"""The network: populations joined by connections, with every convention an explicit field.

Constructing a Network verifies it; a Network that exists is valid. Passes make new ones.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from math import prod
from typing import Any, Literal

import numpy as np

from .arrays import Array, parameter
from .errors import CompileError
from .maps import Dense, Map, Shape, Sparse, broadcastable
from .neurons import DECAY_UNIT, Neuron

Arithmetic = Literal["float32", "int"]
PopulationKind = Literal["input", "spiking", "join", "relu", "readout"]
CodingKind = Literal["direct", "rate", "phase", "latency", "events"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """Neurons that share a shape and a row of coefficients.

    kind: "input"   what the input coding delivers; no neuron.
          "spiking" s from the neuron's equation.
          "join"    memoryless sum of integer spikes, s = I: the ADD of residual networks (graded spikes).
          "relu"    memoryless s = max(I, 0), real-valued: an artificial neuron, so that an ANN is a network too.
          "readout" does not spike. With a neuron, logits are its final membrane; without, the mean of I over T.
    shape: (n,) or (channels, height, width); ids are channel-major. bias: broadcast to shape.
    unit: the value of one integer unit (integer arithmetic; per population or per channel), 1 otherwise.
    """

    name: str
    shape: Shape
    kind: PopulationKind = "spiking"
    neuron: Neuron | None = None
    bias: Array = field(default_factory=lambda: np.float32(0))  # type: ignore[assignment,return-value]
    unit: Array = field(default_factory=lambda: np.float32(1))  # type: ignore[assignment,return-value]

    def __post_init__(self) -> None:
        where = f"population {self.name!r}"
        if not self.name or not isinstance(self.name, str):
            raise CompileError("GSM-204", "a population needs a name", found=self.name)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(self.shape) not in (1, 3) or min(self.shape) < 1:
            raise CompileError(
                "GSM-201", "not a population's shape", where=where, found=self.shape,
                expected="(n,) or (channels, height, width)",
            )  # fmt: skip
        if self.kind not in ("input", "spiking", "join", "relu", "readout"):
            raise CompileError("GSM-206", "unknown kind of population", where=where, found=self.kind)
        needs_neuron = {"input": False, "spiking": True, "join": False, "relu": False}.get(self.kind)
        if needs_neuron is not None and needs_neuron != (self.neuron is not None):
            raise CompileError(
                "GSM-206", f"a population of kind {self.kind!r} {'needs a' if needs_neuron else 'has no'} neuron", where=where
            )
        for name in ("bias", "unit"):
            array = parameter(getattr(self, name), where=f"{where}, {name}")
            object.__setattr__(self, name, broadcastable(array, self.shape, where=f"{where}, {name}"))
        if (self.unit <= 0).any():
            raise CompileError("GSM-203", "unit is not positive", where=where, found=self.unit.min(), expected="> 0")
        if self.neuron is not None:
            arrays = {
                name: broadcastable(getattr(self.neuron, name), self.shape, where=f"{where}, {name}")
                for name in ("threshold", "leak", "current_decay", "v_init")
            }
            object.__setattr__(self, "neuron", replace(self.neuron, **arrays))

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    @property
    def is_graded(self) -> bool:
        """True if what it emits can be other than 0 or 1, so that its synapses multiply."""
        return self.kind in ("join", "relu")


@dataclass(frozen=True, eq=False, kw_only=True)
class Connection:
    """A chain of affine maps from one population's spikes to another's input, `delay` steps later.

    delay 0 acts in the same step. A bias within the chain acts in every step, whatever the delay.
    """

    source: str
    target: str
    maps: tuple[Map, ...]
    delay: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", tuple(self.maps))
        if not isinstance(self.delay, (int, np.integer)) or self.delay < 0:
            raise CompileError("GSM-203", "not a delay", where=self.name, found=self.delay, expected="whole steps >= 0")
        delayed = [m for m in self.maps if isinstance(m, (Dense, Sparse)) and m.delays is not None]
        if delayed and len(self.maps) > 1:
            raise CompileError(
                "GSM-201", "a map with a delay per synapse stands alone in its connection", where=self.name,
                found=f"{len(self.maps)} maps",
            )  # fmt: skip

    @property
    def name(self) -> str:
        """For messages."""
        return f"connection {self.source!r} -> {self.target!r}"

    @property
    def min_delay(self) -> int:
        """The shortest delay of any synapse of it."""
        shortest = 0
        for m in self.maps:
            if isinstance(m, (Dense, Sparse)) and m.delays is not None and m.delays.size:
                shortest = int(m.delays.min())
        return self.delay + shortest

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape after the last map."""
        shape = input_shape
        for m in self.maps:
            try:
                shape = m.output_shape(shape)
            except CompileError as error:
                where = f"{self.name}, {type(m).__name__}"
                raise CompileError(
                    error.code, error.what, where=where, found=error.found, expected=error.expected, remedy=error.remedy
                ) from None
        return shape


@dataclass(frozen=True, kw_only=True)
class InputCoding:
    """How values in [0, 1] become what the input population emits in each step.

    kind: "direct"  the value itself in every step, a real-valued current: the first layer multiplies.
          "rate"    Bernoulli spikes with the value as probability, from `seed`.
          "phase"   bit planes of floor(256 x) for `phases` = 8, most significant first, repeated; `weighted`
                    multiplies plane k by 2^-(1 + k), which makes them real-valued.
          "latency" one spike at round((1 - x) (T - 1)) for x > 0.
          "events"  spikes given for each step, or small integers if `graded`; nothing to encode.
    levels: with integer arithmetic, the whole number that stands for 1.0 in "direct" coding (255: 8-bit pixels).
    """

    kind: CodingKind = "direct"
    phases: int = 8
    weighted: bool = False
    seed: int = 0
    levels: int = 255
    graded: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("direct", "rate", "phase", "latency", "events"):
            raise CompileError("GSM-208", "unknown input coding", found=self.kind)
        if not 1 <= self.phases <= 16 or not 1 <= self.levels <= 65535:
            raise CompileError(
                "GSM-208", "not an input coding", found=f"phases {self.phases}, levels {self.levels}",
                expected="1..16 phases, 1..65535 levels",
            )  # fmt: skip

    @property
    def is_real(self) -> bool:
        """True if it emits values other than 0 and 1, so that the first synapses multiply."""
        return {"direct": True, "phase": self.weighted, "events": self.graded}.get(self.kind, False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A network and all it takes to say what it computes.

    n_steps: T, the steps per sample that it was made for; a simulation may choose another.
    output: the population that is read: logits as its kind says, spike counts if it spikes.
    reset_between_samples: False carries u and v from one sample to the next (a stream).
    metadata: JSON values; nothing in it changes what is computed.
    """

    name: str
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    output: str
    n_steps: int
    coding: InputCoding = field(default_factory=InputCoding)
    arithmetic: Arithmetic = "float32"
    reset_between_samples: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "populations", tuple(self.populations))
        object.__setattr__(self, "connections", tuple(self.connections))
        check_topology(self.populations, self.connections, self.output, self.n_steps)
        for connection in self.connections:
            shape = connection.output_shape(self[connection.source].shape)
            target = self[connection.target]
            if prod(shape) != target.n_neurons or (len(shape) == len(target.shape) and shape != target.shape):
                raise CompileError(
                    "GSM-201", "connection does not fit its target", where=connection.name, found=shape,
                    expected=str(target.shape),
                )  # fmt: skip
        topological_order(self.populations, self.connections)
        if self.arithmetic not in ("float32", "int"):
            raise CompileError("GSM-207", "unknown arithmetic", found=self.arithmetic, expected="float32 or int")
        if self.arithmetic == "int":
            for population in self.populations:
                check_integer_population(population)
            for connection in self.connections:
                for m in connection.maps:
                    weights = getattr(m, "weight", getattr(m, "weights", getattr(m, "scale", None)))
                    if weights is not None and weights.dtype.kind == "f":
                        raise CompileError(
                            "GSM-207", "integer arithmetic with float weights", where=connection.name,
                            remedy="quantize the network: --weight-bits 8",
                        )  # fmt: skip

    def __getitem__(self, name: str) -> Population:
        for population in self.populations:
            if population.name == name:
                return population
        raise CompileError(
            "GSM-204", "no such population", found=name, expected=", ".join(p.name for p in self.populations)
        )

    @property
    def input(self) -> Population:
        """The one input population."""
        return next(p for p in self.populations if p.kind == "input")

    def incoming(self, name: str) -> list[Connection]:
        """Connections into a population, in the order given."""
        return [c for c in self.connections if c.target == name]

    def __repr__(self) -> str:
        shapes = " -> ".join(f"{p.name}{list(p.shape)}" for p in self.populations[:4])
        more = f" ... ({len(self.populations)} populations)" if len(self.populations) > 4 else ""
        return f"<Network {self.name!r} {self.arithmetic}, T={self.n_steps}: {shapes}{more}>"


def check_topology(
    populations: tuple[Population, ...], links: tuple[Any, ...], output: str, n_steps: int
) -> None:
    """Refuse doubled names, links to nowhere, no or several inputs, an unfed population, an unknown output."""
    names = [p.name for p in populations]
    doubled = [name for name, n in Counter(names).items() if n > 1]
    if doubled:
        raise CompileError("GSM-204", "two populations share a name", found=doubled[0])
    for link in links:
        for end in (link.source, link.target):
            if end not in names:
                raise CompileError(
                    "GSM-204", "a connection names a population that does not exist",
                    where=f"{link.source!r} -> {link.target!r}", found=end, expected=", ".join(names),
                )  # fmt: skip
    inputs = [p.name for p in populations if p.kind == "input"]
    if len(inputs) != 1:
        raise CompileError("GSM-206", "a network has one input population", found=inputs or "none")
    fed = {link.target for link in links}
    if inputs[0] in fed:
        raise CompileError("GSM-206", "a connection ends in the input population", where=inputs[0])
    for name in names:
        if name not in fed and name != inputs[0]:
            raise CompileError("GSM-206", "nothing is connected to a population", where=f"population {name!r}")
    for p in populations:
        if p.kind == "readout" and any(link.source == p.name for link in links):
            raise CompileError("GSM-206", "a readout does not spike, so nothing can follow it", where=f"population {p.name!r}")
    if output not in names or output == inputs[0]:
        raise CompileError(
            "GSM-206", "the output is no population of the network", found=output, expected=", ".join(names[1:])
        )
    if not isinstance(n_steps, (int, np.integer)) or n_steps < 1:
        raise CompileError("GSM-203", "a sample needs at least one step", where="n_steps", found=n_steps, expected=">= 1")


def topological_order(populations: tuple[Population, ...], links: tuple[Any, ...], *, all_links: bool = False) -> list[str]:
    """Names so that every source stands before its targets, within one step (links of delay 0), or over all links.

    Among populations that are free to go, the declared order is kept.

    Raises:
        CompileError: GSM-205 if the links form a cycle.
    """
    position = {p.name: i for i, p in enumerate(populations)}
    sorter: TopologicalSorter[str] = TopologicalSorter({p.name: () for p in populations})
    for link in links:
        if all_links or link.min_delay == 0:
            sorter.add(link.target, link.source)
    try:
        sorter.prepare()
    except CycleError as error:
        raise CompileError(
            "GSM-205", "populations feed each other within one step", found=" -> ".join(error.args[1]),
            expected="every cycle to hold a delay of at least one step",
            remedy="set delay=1 on the connection that closes the cycle",
        ) from None  # fmt: skip
    order: list[str] = []
    ready = sorted(sorter.get_ready(), key=position.__getitem__)
    while ready:
        name = ready.pop(0)
        order.append(name)
        sorter.done(name)
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
    return order


def check_integer_population(population: Population) -> None:
    """Refuse (GSM-207) what Loihi's integer state cannot hold: floats, thresholds or biases past 17 bits."""
    where = f"population {population.name!r}"
    limit = (1 << 17) - 1
    if population.kind == "relu":
        raise CompileError("GSM-207", "integer arithmetic has no ReLU", where=where, remedy="convert the ANN to an SNN")
    arrays = {"bias": population.bias}
    if population.neuron is not None:
        names = ("threshold", "leak", "current_decay", "v_init")
        arrays |= {name: getattr(population.neuron, name) for name in names}
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            raise CompileError(
                "GSM-207", "integer arithmetic with a float coefficient", where=f"{where}, {name}", found=array.dtype,
                remedy="quantize the network: --weight-bits 8",
            )  # fmt: skip
        if name in ("bias", "threshold", "v_init") and array.size and int(np.abs(array.astype(np.int64)).max()) > limit:
            raise CompileError(
                "GSM-207", "coefficient does not fit 17 bits", where=f"{where}, {name}", found=int(np.abs(array).max()),
                expected=f"<= {limit}", remedy="use fewer weight bits: a coarser unit makes thresholds smaller",
            )  # fmt: skip
    if population.neuron is not None and int(population.neuron.leak.max()) > DECAY_UNIT:
        raise CompileError("GSM-207", "decay is outside its range", where=where, expected=f"0..{DECAY_UNIT}")
