"""The synaptic graph: populations with flat neuron ids, and the surviving synapses between them.

Two kinds of projection hold synapses by source, so that a spike finds its own:
`Csr`, a list of (target, weight) per source row, and `SharedCsr`, for convolutions, a list of surviving taps
(c_out, ky, kx, weight) per input channel plus the geometry. Either may pool: a source pixel then uses the row of its pooled pixel.
The graph knows nothing of chips.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Array, pair, parameter, read_only
from .container import read_container, write_container
from .errors import CompileError
from .ir import Arithmetic, InputCoding, Population, check_integer_population, check_topology, topological_order
from .maps import Conv2d, Scale, Shape, Sparse, check_csr
from .neurons import Neuron
from .records import decode, encode

GRAPH_VERSION = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Csr:
    """Explicit synapses. Row r lists the synapses of source neuron r, or of pooled pixel r if `pool` is not (1, 1).

    row_start: (n_rows + 1,) int64. targets: (n,) uint16 if the target has < 65,536 neurons, else uint32.
    weights: (n,) float32, int8 or int16. delays: (n,) uint16 steps, added to `delay`, or None.
    """

    source: str
    target: str
    row_start: NDArray[np.int64]
    targets: Array
    weights: Array
    delays: Array | None = None
    delay: int = 0
    pool: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        _check_projection(self)
        object.__setattr__(self, "row_start", read_only(np.asarray(self.row_start, np.int64)))
        object.__setattr__(self, "targets", read_only(np.asarray(self.targets)))

    @property
    def min_delay(self) -> int:
        """The shortest delay of any synapse, in steps."""
        return self.delay + (0 if self.delays is None or not self.delays.size else int(self.delays.min()))

    @property
    def max_delay(self) -> int:
        """The longest delay of any synapse, in steps."""
        return self.delay + (0 if self.delays is None or not self.delays.size else int(self.delays.max()))

    @property
    def index_bytes(self) -> int:
        """Bytes that hold targets, delays and row starts."""
        return self.targets.nbytes + self.row_start.nbytes + (0 if self.delays is None else self.delays.nbytes)

    def check_ends(self, source: Shape, target: Shape) -> None:
        """Refuse (GSM-201) rows that do not match the source or targets outside the target population."""
        check_csr(self.row_start, self.targets, self.weights, prod(target), where=self.name)
        n_rows = prod(pooled_shape(source, self.pool, self.name))
        if len(self.row_start) - 1 != n_rows:
            raise CompileError(
                "GSM-201", "one row per source neuron", where=self.name, found=len(self.row_start) - 1, expected=f"{n_rows}"
            )

    def row_fan_out(self, source: Shape, target: Shape) -> NDArray[np.int64]:
        """(pooled source shape) synapses per row."""
        return np.diff(self.row_start).reshape(pooled_shape(source, self.pool, self.name))

    @property
    def name(self) -> str:
        """For messages."""
        return f"projection {self.source!r} -> {self.target!r}"


@dataclass(frozen=True, eq=False, kw_only=True)
class SharedCsr:
    """A pruned convolution, each surviving tap stored once.

    Row c lists the taps of input channel c, sorted by (ky, kx, c_out): output pixel (oy, ox) of channel
    out_channel gets `weight` from input pixel (oy * stride - padding + ky * dilation, likewise x).
    row_start: (c_in + 1,) int64. out_channels: (n,) uint16. ky, kx: (n,) uint8. weights: (n,).
    """

    source: str
    target: str
    row_start: NDArray[np.int64]
    out_channels: NDArray[np.uint16]
    ky: NDArray[np.uint8]
    kx: NDArray[np.uint8]
    weights: Array
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    delay: int = 0
    pool: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        _check_projection(self)
        for name, minimum in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            object.__setattr__(self, name, pair(getattr(self, name), where=f"{self.name}, {name}", minimum=minimum))
        object.__setattr__(self, "row_start", read_only(np.asarray(self.row_start, np.int64)))
        for name in ("out_channels", "ky", "kx"):
            array = read_only(np.asarray(getattr(self, name)))
            if array.dtype.kind != "u" or array.shape != self.weights.shape:
                raise CompileError("GSM-201", "taps do not match", where=f"{self.name}, {name}", found=array.shape)
            object.__setattr__(self, name, array)

    @property
    def min_delay(self) -> int:
        """The delay of every synapse, in steps."""
        return self.delay

    max_delay = min_delay

    @property
    def index_bytes(self) -> int:
        """Bytes that hold tap addresses and row starts."""
        return self.out_channels.nbytes + self.ky.nbytes + self.kx.nbytes + self.row_start.nbytes

    def check_ends(self, source: Shape, target: Shape) -> None:
        """Refuse (GSM-201) a geometry that does not lead from the source's shape to the target's."""
        pooled = pooled_shape(source, self.pool, self.name)
        blank = Conv2d(
            weight=np.zeros((target[0], pooled[0], *self.kernel), np.int8), stride=self.stride, padding=self.padding,
            dilation=self.dilation,
        )  # fmt: skip
        if len(target) != 3 or blank.output_shape(pooled) != target:
            raise CompileError(
                "GSM-201", "geometry does not fit the target", where=self.name, found=blank.output_shape(pooled),
                expected=str(target),
            )  # fmt: skip
        check_csr(self.row_start, self.out_channels, self.weights, target[0], where=self.name)
        taps_ok = (self.ky < self.kernel[0]).all() and (self.kx < self.kernel[1]).all()
        if len(self.row_start) - 1 != pooled[0] or not taps_ok:
            raise CompileError("GSM-201", "taps lie outside the kernel or the channels", where=self.name)

    def row_fan_out(self, source: Shape, target: Shape) -> NDArray[np.int64]:
        """(pooled source shape) synapses per input pixel: taps that stay inside the target at the borders."""
        n_channels, height, width = pooled_shape(source, self.pool, self.name)
        channel = np.repeat(np.arange(n_channels), np.diff(self.row_start))
        taps = np.zeros((n_channels, *self.kernel), np.int64)
        np.add.at(taps, (channel, self.ky, self.kx), 1)
        rows = _reaches(height, target[1], self.kernel[0], self.stride[0], self.padding[0], self.dilation[0])
        columns = _reaches(width, target[2], self.kernel[1], self.stride[1], self.padding[1], self.dilation[1])
        fan_out: NDArray[np.int64] = np.einsum("ckl,yk,xl->cyx", taps, rows, columns, optimize=True)
        return fan_out

    @property
    def name(self) -> str:
        """For messages."""
        return f"projection {self.source!r} -> {self.target!r}"


Projection = Csr | SharedCsr
REGISTRY: dict[str, type] = {c.__name__: c for c in (Population, Neuron, InputCoding, Csr, SharedCsr)}


@dataclass(frozen=True, eq=False, kw_only=True)
class SynapticGraph:
    """A compiled network. Populations stand in topological order of one step; fields as in `Network`."""

    name: str
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    output: str
    n_steps: int
    coding: InputCoding
    arithmetic: Arithmetic
    reset_between_samples: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "populations", tuple(self.populations))
        object.__setattr__(self, "projections", tuple(self.projections))
        check_topology(self.populations, self.projections, self.output, self.n_steps)
        for projection in self.projections:
            projection.check_ends(self[projection.source].shape, self[projection.target].shape)
            is_float = projection.weights.dtype.kind == "f"
            if is_float != (self.arithmetic == "float32"):
                raise CompileError(
                    "GSM-207", "weights do not match the arithmetic", where=projection.name,
                    found=projection.weights.dtype, expected=self.arithmetic,
                )  # fmt: skip
        if self.arithmetic == "int":
            for population in self.populations:
                check_integer_population(population)
        order = topological_order(self.populations, self.projections)
        object.__setattr__(self, "populations", tuple(self[name] for name in order))

    def __getitem__(self, name: str) -> Population:
        for population in self.populations:
            if population.name == name:
                return population
        raise CompileError("GSM-204", "no such population", found=name)

    @property
    def input(self) -> Population:
        """The one input population."""
        return next(p for p in self.populations if p.kind == "input")

    @cached_property
    def is_recurrent(self) -> bool:
        """True if populations feed each other in a cycle, so that steps must be run one by one."""
        try:
            topological_order(self.populations, self.projections, all_links=True)
        except CompileError:
            return True
        return False

    def is_graded(self, projection: Projection) -> bool:
        """True if events on this projection carry numbers other than 1, so that its synapses multiply."""
        source = self[projection.source]
        return source.is_graded or (source.kind == "input" and self.coding.is_real)

    def fan_out(self, projection: Projection) -> NDArray[np.int64]:
        """(n_neurons of the source,) non-zero synapses that an event of each source neuron visits."""
        source, target = self[projection.source].shape, self[projection.target].shape
        per_row = projection.row_fan_out(source, target)
        return pooled_to_source(per_row, source, projection.pool)

    def n_synapses(self, name: str) -> int:
        """Synapses into a population, as neurons see them (a shared tap counts once per pixel)."""
        return sum(int(self.fan_out(p).sum()) for p in self.projections if p.target == name)

    def n_weights(self, name: str) -> int:
        """Non-zero weights that are stored for a population's input (a shared tap counts once)."""
        return sum(p.weights.size for p in self.projections if p.target == name)

    def save(self, path: str | Path) -> str:
        """Write the graph atomically; return its digest. Format: docs/reference/formats.md."""
        arrays: dict[str, Array] = {}
        record = {
            "name": self.name, "output": self.output, "n_steps": self.n_steps, "arithmetic": self.arithmetic,
            "reset_between_samples": self.reset_between_samples, "metadata": self.metadata,
            "coding": encode(self.coding, "coding", arrays),
            "populations": encode(self.populations, "populations", arrays),
            "projections": encode(self.projections, "projections", arrays),
        }  # fmt: skip
        return write_container(path, "graph", GRAPH_VERSION, record, arrays)

    def __repr__(self) -> str:
        n_weights = sum(p.weights.size for p in self.projections)
        return (
            f"<SynapticGraph {self.name!r} {self.arithmetic}: {len(self.populations)} populations, "
            f"{sum(p.n_neurons for p in self.populations):,} neurons, {n_weights:,} stored weights>"
        )

    def summary(self) -> str:
        """One line per population: neurons, synapses, stored weights, memory shared and unrolled."""
        lines = [f"{'population':<16}{'kind':<10}{'neurons':>9}{'synapses':>12}{'weights':>11}{'shared B':>12}{'unrolled B':>13}"]
        for p in self.populations:
            stored, unrolled = self.memory(p.name)
            lines.append(
                f"{p.name:<16}{p.kind:<10}{p.n_neurons:>9,}{self.n_synapses(p.name):>12,}{self.n_weights(p.name):>11,}"
                f"{stored:>12,}{unrolled:>13,}"
            )
        return "\n".join(lines)

    def memory(self, name: str) -> tuple[int, int]:
        """(as stored, unrolled) bytes of the synapses into a population: weights, addresses, row starts."""
        stored = unrolled = 0
        for p in self.projections:
            if p.target == name:
                stored += p.weights.nbytes + p.index_bytes
                synapse_bytes = p.weights.itemsize + index_dtype(self[name].n_neurons).itemsize
                unrolled += int(self.fan_out(p).sum()) * synapse_bytes + 8 * (self[p.source].n_neurons + 1)
        return stored, unrolled


def load_graph(path: str | Path) -> SynapticGraph:
    """Read and verify a graph.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer or damaged; GSM-2xx for bad contents.
    """
    header, arrays, digest = read_container(path, "graph", GRAPH_VERSION)
    try:
        parts = {k: decode(header[k], arrays, REGISTRY, where=f"{path}, {k}") for k in ("populations", "projections", "coding")}
        scalars = {k: header[k] for k in ("name", "output", "n_steps", "arithmetic", "reset_between_samples", "metadata")}
    except KeyError as error:
        raise CompileError("GSM-105", "a header field is missing", where=str(path), expected=str(error)) from None
    try:
        graph = SynapticGraph(**parts, **scalars)
    except (TypeError, ValueError, AttributeError) as error:
        raise CompileError("GSM-105", "a header field has the wrong type", where=str(path), found=error) from None
    graph.metadata["sha256"] = digest
    return graph


def index_dtype(n_post: int) -> np.dtype[Any]:
    """The narrowest index type that addresses a population."""
    return np.dtype(np.uint16 if n_post < 65536 else np.uint32)


def pooled_shape(shape: Shape, pool: tuple[int, int], where: str) -> Shape:
    """The shape after tiling sum pooling; far edges that fill no window are dropped."""
    if pool == (1, 1):
        return shape
    if len(shape) != 3 or shape[1] < pool[0] or shape[2] < pool[1]:
        raise CompileError("GSM-201", "cannot pool this shape", where=where, found=shape, expected=f">= {pool} pixels")
    return shape[0], shape[1] // pool[0], shape[2] // pool[1]


def pooled_to_source(per_row: Array, source: Shape, pool: tuple[int, int]) -> Array:
    """Spread a value per pooled pixel over the source pixels of its window; 0 where no window reaches. Flat."""
    if pool == (1, 1):
        return per_row.reshape(-1)
    spread = per_row.repeat(pool[0], axis=1).repeat(pool[1], axis=2)
    full = np.zeros(source, per_row.dtype)
    full[:, : spread.shape[1], : spread.shape[2]] = spread
    return full.reshape(-1)


def shared_to_map(p: SharedCsr, source: Shape, target: Shape) -> Conv2d:
    """The dense convolution that shared synapses stand for."""
    n_in = pooled_shape(source, p.pool, p.name)[0]
    weight = np.zeros((target[0], n_in, *p.kernel), p.weights.dtype)
    weight[p.out_channels, np.repeat(np.arange(n_in), np.diff(p.row_start)), p.ky, p.kx] = p.weights
    return Conv2d(weight=weight, stride=p.stride, padding=p.padding, dilation=p.dilation)


def projection_to_map(p: Projection, source: Shape, target: Shape) -> Conv2d | Sparse | Scale:
    """The map of a projection, without its pooling."""
    if isinstance(p, SharedCsr):
        return shared_to_map(p, source, target)
    return Sparse(row_start=p.row_start, targets=p.targets, weights=p.weights, delays=p.delays, shape=target)


def _reaches(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> Array:
    """(n_in, kernel) 1 where input position i reaches an output through tap k."""
    numerator = np.arange(n_in)[:, None] + padding - np.arange(kernel)[None, :] * dilation
    return ((numerator % stride == 0) & (numerator >= 0) & (numerator // stride < n_out)).astype(np.int64)


def _check_projection(p: Csr | SharedCsr) -> None:
    object.__setattr__(p, "weights", parameter(p.weights, where=f"{p.name}, weights"))
    object.__setattr__(p, "pool", pair(p.pool, where=f"{p.name}, pool", minimum=1))
    if p.weights.ndim != 1 or (p.weights.dtype.kind == "i" and p.weights.itemsize > 2):
        raise CompileError(
            "GSM-201", "not a list of weights", where=p.name, found=f"{p.weights.dtype} {p.weights.shape}",
            expected="(n,) float32, int8 or int16",
        )  # fmt: skip
    if not isinstance(p.delay, (int, np.integer)) or p.delay < 0:
        raise CompileError("GSM-203", "not a delay", where=p.name, found=p.delay, expected="whole steps >= 0")
    if isinstance(p, Csr) and p.delays is not None:
        delays = read_only(np.asarray(p.delays))
        if delays.dtype.kind != "u" or delays.shape != p.weights.shape:
            raise CompileError("GSM-201", "delays do not match the synapses", where=p.name, found=delays.shape)
        object.__setattr__(p, "delays", delays)
