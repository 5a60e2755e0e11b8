"""The network: populations joined by connections, with every convention an explicit field.

Constructing a Network verifies it; a Network that exists is valid. Passes make new ones.
"""

from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from .arrays import LARGEST, Array, flag, name_of, number, parameter, tuple_of, whole
from .errors import CompileError
from .maps import MAX_DELAY, Conv2d, Dense, Map, Scale, Shape, Sparse, SumPool2d, broadcastable
from .neurons import STATE_UNITS, Neuron
from .topology import check_topology, topological_order

Arithmetic = Literal["float32", "int"]
PopulationKind = Literal["input", "spiking", "join", "relu", "readout"]
CodingKind = Literal["direct", "rate", "phase", "latency", "events"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """Neurons that share a shape and a row of coefficients.

    kind: "input"   what the input coding delivers; no neuron.
          "spiking" s from the neuron's equation.
          "join"    memoryless sum, s = I: the ADD of residual networks. Of spikes it is graded (0, 1, 2, ...); one of
                    real numbers is a running sum, which compiling leads past (`expand_joins`).
          "relu"    memoryless s = max(I, 0), real-valued: an artificial neuron, so that an ANN is a network too.
          "readout" does not spike. With a neuron, logits are its final membrane; without, the mean of I over T.
    shape: (n,) or (channels, height, width); ids are channel-major. bias: broadcast to shape.
    unit: the value of one integer unit (integer arithmetic; per population or per channel), 1 otherwise.
    """

    name: str
    shape: Shape
    kind: PopulationKind = "spiking"
    neuron: Neuron | None = None
    bias: Array = field(default_factory=lambda: number(0))
    unit: Array = field(default_factory=lambda: number(1))

    def __post_init__(self) -> None:
        where = f"population {name_of(self.name, what='a population')!r}"
        if not isinstance(self.shape, (tuple, list)) or len(self.shape) not in (1, 3):
            raise CompileError(
                "GSM-201",
                "not a population's shape",
                where=where,
                found=self.shape,
                expected="(n,) or (channels, height, width)",
            )
        shape = tuple(whole(n, where=f"{where}, shape", minimum=1, code="GSM-201") for n in self.shape)
        object.__setattr__(self, "shape", shape)
        if prod(shape) > LARGEST:
            raise CompileError(
                "GSM-201", "too many neurons", where=where, found=prod(shape), expected=f"<= {LARGEST} per population"
            )
        if self.kind not in ("input", "spiking", "join", "relu", "readout"):
            raise CompileError("GSM-206", "unknown kind of population", where=where, found=self.kind)
        needs_neuron = {"input": False, "spiking": True, "join": False, "relu": False}.get(self.kind)
        if needs_neuron is not None and needs_neuron != (self.neuron is not None):
            raise CompileError(
                "GSM-206",
                f"a population of kind {self.kind!r} {'needs a' if needs_neuron else 'has no'} neuron",
                where=where,
            )
        for name in ("bias", "unit"):
            array = parameter(getattr(self, name), where=f"{where}, {name}")
            object.__setattr__(self, name, broadcastable(array, self.shape, where=f"{where}, {name}"))
        if (self.unit <= 0).any():
            raise CompileError("GSM-203", "unit is not positive", where=where, found=self.unit.min(), expected="> 0")
        if self.neuron is not None:
            arrays: dict[str, Any] = {
                name: broadcastable(getattr(self.neuron, name), self.shape, where=f"{where}, {name}")
                for name in ("threshold", "leak", "current_decay", "v_init")
            }
            if self.kind == "readout" and self.neuron.reset != "none":
                raise CompileError(
                    "GSM-206",
                    "a readout does not spike, so its membrane is never reset",
                    where=where,
                    found=f"reset {self.neuron.reset!r}",
                    expected="reset 'none'",
                    remedy="use `integrator`",
                )
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
        object.__setattr__(self, "maps", tuple_of(self.maps, Map, what="maps"))
        object.__setattr__(self, "delay", whole(self.delay, where=f"{self.name}, delay"))
        delayed = [m for m in self.maps if isinstance(m, (Dense, Sparse)) and m.delays is not None]
        if delayed and len(self.maps) > 1:
            raise CompileError(
                "GSM-201",
                "a map with a delay per synapse stands alone in its connection",
                where=self.name,
                found=f"{len(self.maps)} maps",
            )

    @property
    def name(self) -> str:
        """For messages."""
        return f"connection {self.source!r} -> {self.target!r}"

    @property
    def min_delay(self) -> int:
        """The shortest delay of any synapse of it."""
        shortest = 0
        for m in self.maps:
            if isinstance(m, (Dense, Sparse)) and m.delays is not None:
                weights = m.weights if isinstance(m, Sparse) else m.weight if m.mask is None else m.weight * m.mask
                shortest = int(m.delays[weights != 0].min(initial=MAX_DELAY)) if weights.any() else 0
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
        for name, minimum, maximum in (("phases", 1, 16), ("levels", 1, 65535), ("seed", 0, (1 << 63) - 1)):
            value = whole(
                getattr(self, name), where=f"input coding, {name}", minimum=minimum, maximum=maximum, code="GSM-208"
            )
            object.__setattr__(self, name, value)
        for name in ("weighted", "graded"):
            object.__setattr__(self, name, flag(getattr(self, name), what=f"input coding, {name}"))

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
        name_of(self.name, what="a network")
        object.__setattr__(self, "populations", tuple_of(self.populations, Population, what="populations"))
        object.__setattr__(self, "connections", tuple_of(self.connections, Connection, what="connections"))
        check_topology(self.populations, self.connections, self.output)
        check_options(self)
        for connection in self.connections:
            shape = connection.output_shape(self[connection.source].shape)
            target = self[connection.target]
            if prod(shape) != target.n_neurons or (len(shape) == len(target.shape) and shape != target.shape):
                raise CompileError(
                    "GSM-201",
                    "connection does not fit its target",
                    where=connection.name,
                    found=shape,
                    expected=str(target.shape),
                )
            if self.arithmetic == "int":
                for m in connection.maps:
                    _check_integer_map(m, where=connection.name)
        for population in self.populations:
            check_arithmetic(population, self.arithmetic)
        topological_order(self.populations, self.connections)

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

    def save(self, path: str | Path) -> str:
        """Write a checkpoint atomically; return its digest. Format: docs/reference/formats.md."""
        from .checkpoint import save_checkpoint  # which has to know this class

        return save_checkpoint(self, path)

    def summary(self) -> str:
        """One line per population, then one per connection: shapes, neurons, weights, non-zero weights."""
        lines = [f"{'population':<16}{'kind':<10}{'shape':>14}{'neurons':>10}"]
        for p in self.populations:
            shape = "x".join(map(str, p.shape))
            lines.append(f"{p.name:<16}{p.kind:<10}{shape:>14}{p.n_neurons:>10,}")
        lines.append(f"{'connection':<26}{'maps':>14}{'weights':>12}{'non-zero':>12}")
        for c in self.connections:
            masked = [(m.weight, m.mask) for m in c.maps if isinstance(m, (Dense, Conv2d))]
            n_weights = sum(weight.size for weight, _ in masked)
            n_kept = sum(int(((weight != 0) & (True if mask is None else mask)).sum()) for weight, mask in masked)
            name = f"{c.source} -> {c.target}"
            lines.append(f"{name:<26}{len(c.maps):>14}{n_weights:>12,}{n_kept:>12,}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        shapes = " -> ".join(f"{p.name}{list(p.shape)}" for p in self.populations[:4])
        more = f" ... ({len(self.populations)} populations)" if len(self.populations) > 4 else ""
        return f"<Network {self.name!r} {self.arithmetic}, T={self.n_steps}: {shapes}{more}>"


def check_options(network: Any) -> None:
    """Check the fields that a Network and a SynapticGraph have in common beside their parts, and make them plain.

    Raises:
        CompileError: GSM-203, GSM-207 for what is out of range. TypeError for what is of the wrong type.
    """
    object.__setattr__(network, "n_steps", whole(network.n_steps, where="n_steps", minimum=1))
    resets = flag(network.reset_between_samples, what="reset_between_samples")
    object.__setattr__(network, "reset_between_samples", resets)
    if network.arithmetic not in ("float32", "int"):
        raise CompileError("GSM-207", "unknown arithmetic", found=network.arithmetic, expected="float32 or int")
    if not isinstance(network.coding, InputCoding) or not isinstance(network.metadata, dict):
        raise TypeError("coding must be an InputCoding and metadata a dict")


def check_arithmetic(population: Population, arithmetic: Arithmetic) -> None:
    """Refuse coefficients that the arithmetic cannot hold.

    float32: a unit other than 1, decays past 1. int (Loihi's state): floats other than 0, thresholds or biases past
    17 bits.

    Raises:
        CompileError: GSM-203, GSM-207.
    """
    where, neuron = f"population {population.name!r}", population.neuron
    if arithmetic == "float32":
        if (population.unit != 1).any():
            raise CompileError("GSM-207", "float32 arithmetic has unit 1", where=where, found=population.unit.max())
        for name in ("leak", "current_decay"):
            if neuron is not None and (getattr(neuron, name) > 1).any():
                found = getattr(neuron, name).max()
                raise CompileError("GSM-203", "decay is outside its range", where=where, found=found, expected="0..1")
        return
    if population.kind == "relu":
        raise CompileError("GSM-207", "integer arithmetic has no ReLU", where=where, remedy="convert the ANN to an SNN")
    arrays = {"bias": population.bias}
    if neuron is not None:
        arrays |= {name: getattr(neuron, name) for name in ("threshold", "leak", "current_decay", "v_init")}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and array.any():  # a default of 0 is 0 in any arithmetic
            raise CompileError(
                "GSM-207",
                "integer arithmetic with a float coefficient",
                where=f"{where}, {name}",
                found=array.dtype,
                remedy="quantize the network: --weight-bits 8",
            )
        largest = max(int(array.max()), -int(array.min()))
        if largest > STATE_UNITS:
            raise CompileError(
                "GSM-207",
                "coefficient does not fit 17 bits",
                where=f"{where}, {name}",
                found=largest,
                expected=f"<= {STATE_UNITS}",
                remedy="use a coarser unit: it makes thresholds smaller",
            )


def _check_integer_map(m: Map, *, where: str) -> None:
    """Refuse (GSM-207) maps that integer arithmetic cannot compute: float parameters, averages, normalisation."""
    if not isinstance(m, (Dense, Conv2d, Sparse, Scale, SumPool2d)):
        raise CompileError("GSM-207", f"integer arithmetic has no {type(m).__name__}", where=where)
    for name in ("weight", "weights", "scale", "bias", "shift"):
        array = getattr(m, name, None)
        if array is None:
            continue
        if array.dtype.kind == "f":
            raise CompileError(
                "GSM-207",
                "integer arithmetic with float weights",
                where=f"{where}, {name}",
                remedy="quantize the network: --weight-bits 8",
            )
        largest = max(int(array.max(initial=0)), -int(array.min(initial=0)))
        limit = STATE_UNITS if name in ("bias", "shift") else (1 << 15) - 1
        if largest > limit:
            raise CompileError(
                "GSM-207", "integer is too large", where=f"{where}, {name}", found=largest, expected=f"<= {limit}"
            )
