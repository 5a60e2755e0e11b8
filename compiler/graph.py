"""The synaptic graph: populations with flat neuron ids, and the surviving synapses between them.

The graph knows nothing of chips.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import name_of, tuple_of
from .errors import CompileError
from .ir import Arithmetic, InputCoding, Population, check_arithmetic, check_options
from .maps import index_dtype
from .neurons import Neuron
from .projections import Csr, Projection, SharedCsr, pooled_to_source
from .records import load_record, save_record
from .topology import check_topology, topological_order

GRAPH_VERSION = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class SynapticGraph:
    """A compiled network; fields as in `Network`.

    Populations stand in an order in which every source comes before its targets: over all projections if that is
    possible, within one step if there are cycles.
    """

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
        name_of(self.name, what="a graph")
        object.__setattr__(self, "populations", tuple_of(self.populations, Population, what="populations"))
        object.__setattr__(self, "projections", tuple_of(self.projections, Projection, what="projections"))
        check_topology(self.populations, self.projections, self.output)
        check_options(self)
        for projection in self.projections:
            projection.check_ends(self[projection.source].shape, self[projection.target].shape)
            is_float = projection.weights.dtype.kind == "f"
            if is_float != (self.arithmetic == "float32"):
                raise CompileError(
                    "GSM-207",
                    "weights do not match the arithmetic",
                    where=projection.name,
                    found=projection.weights.dtype,
                    expected=self.arithmetic,
                )
        for population in self.populations:
            check_arithmetic(population, self.arithmetic)
        order = topological_order(self.populations, self.projections)
        if not self.is_recurrent:
            order = topological_order(self.populations, self.projections, all_links=True)
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
        return sum(self._n_synapses(p) for p in self.projections if p.target == name)

    def _n_synapses(self, p: Projection) -> int:
        return p.n_synapses(self[p.source].shape, self[p.target].shape)

    def n_weights(self, name: str) -> int:
        """Non-zero weights that are stored for a population's input (a shared tap counts once)."""
        return sum(p.weights.size for p in self.projections if p.target == name)

    def save(self, path: str | Path) -> str:
        """Write the graph atomically; return its digest. Format: docs/reference/formats.md."""
        return save_record(self, path, "graph", GRAPH_VERSION, key="graph")

    def __repr__(self) -> str:
        n_weights = sum(p.weights.size for p in self.projections)
        return (
            f"<SynapticGraph {self.name!r} {self.arithmetic}: {len(self.populations)} populations, "
            f"{sum(p.n_neurons for p in self.populations):,} neurons, {n_weights:,} stored weights>"
        )

    def summary(self) -> str:
        """One line per population: neurons, synapses, stored weights, memory shared and unrolled."""
        titles = f"{'neurons':>9}{'synapses':>12}{'weights':>11}{'shared B':>12}{'unrolled B':>13}"
        lines = [f"{'population':<16}{'kind':<10}{titles}"]
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
                synapse_bytes += 0 if isinstance(p, SharedCsr) or p.delays is None else p.delays.itemsize
                unrolled += self._n_synapses(p) * synapse_bytes + 8 * (self[p.source].n_neurons + 1)
        return stored, unrolled


REGISTRY: dict[str, type] = {c.__name__: c for c in (SynapticGraph, Population, Neuron, InputCoding, Csr, SharedCsr)}


def load_graph(path: str | Path) -> SynapticGraph:
    """Read and verify a graph.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer or damaged; GSM-2xx for bad contents.
    """
    graph = load_record(path, "graph", GRAPH_VERSION, REGISTRY, key="graph")
    if not isinstance(graph, SynapticGraph):
        raise CompileError("GSM-105", "the header holds no graph", where=str(path), found=type(graph).__name__)
    return graph
