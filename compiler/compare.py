"""Do two graphs compute the same? A batch norm that was folded, a mask that was applied, shared or explicit synapses,
names and metadata are no difference.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .arrays import Array
from .graph import SynapticGraph
from .neurons import COEFFICIENTS, CONVENTIONS
from .projections import Projection, SharedCsr
from .synapses import list_synapses

CODING_FIELDS = {
    "direct": ("levels",),
    "rate": ("seed",),
    "phase": ("phases", "weighted"),
    "latency": (),
    "events": ("graded",),
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that differs. n_different, max_difference: of arrays, element by element; else None."""

    where: str
    what: str
    a: str
    b: str
    n_different: int | None = None
    max_difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs in meaning, and notes on what differs in form alone."""

    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """True if the two compute the same."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"equal": self.equal, "differences": [asdict(d) for d in self.differences], "notes": self.notes}

    def add(self, where: str, what: str, a: object, b: object, **numbers: Any) -> None:
        """Keep it if the two differ."""
        if a != b or numbers:
            self.differences.append(Difference(where=where, what=what, a=str(a), b=str(b), **numbers))


def compare_graphs(a: SynapticGraph, b: SynapticGraph) -> Comparison:
    """Compare two graphs. Populations pair up by name, or by position if the names are others."""
    found = Comparison()
    for name in ("arithmetic", "n_steps", "reset_between_samples"):
        found.add("network", name, getattr(a, name), getattr(b, name))
    found.add("network", "input coding", a.coding.kind, b.coding.kind)
    if a.coding.kind == b.coding.kind:
        for name in CODING_FIELDS[a.coding.kind]:
            found.add("network", f"input coding, {name}", getattr(a.coding, name), getattr(b.coding, name))
    if a.arithmetic != b.arithmetic:
        found.notes.append("values in other arithmetics have other units: conventions and synapses were compared alone")
    partner = _pair_up(a, b, found)
    if partner is None:
        return found
    found.add("network", "output", partner[a.output], b.output)
    for population in a.populations:
        _compare_population(a, b, population.name, partner[population.name], found)
    _compare_projections(a, b, partner, found)
    return found


def _pair_up(a: SynapticGraph, b: SynapticGraph, found: Comparison) -> dict[str, str] | None:
    ours, theirs = [p.name for p in a.populations], [p.name for p in b.populations]
    if set(ours) == set(theirs):
        return {name: name for name in ours}
    if [p.shape for p in a.populations] == [p.shape for p in b.populations]:
        found.notes.append("populations have other names, and are compared in their order: " + ", ".join(theirs))
        return dict(zip(ours, theirs, strict=True))
    only_a, only_b = ([n for n in x if n not in y] for x, y in ((ours, theirs), (theirs, ours)))
    found.add("network", "populations", _listed(only_a, len(ours)), _listed(only_b, len(theirs)))
    return None


def _listed(names: list[str], n: int) -> str:
    return f"{n}, only here: {', '.join(names)}" if names else f"{n}"


def _compare_population(a: SynapticGraph, b: SynapticGraph, name_a: str, name_b: str, found: Comparison) -> None:
    p, q, where = a[name_a], b[name_b], f"population {name_a!r}"
    found.add(where, "kind", p.kind, q.kind)
    found.add(where, "shape", p.shape, q.shape)
    if p.shape != q.shape:
        return
    same_units = a.arithmetic == b.arithmetic  # else every value is in another unit: told once, as the arithmetic
    if same_units:
        _compare_arrays(where, "bias", p.bias, q.bias, p.shape, found)
        _compare_arrays(where, "unit", p.unit, q.unit, p.shape, found)
    if p.neuron is None or q.neuron is None:
        found.add(where, "neuron", p.neuron is not None, q.neuron is not None)
        return
    for convention in CONVENTIONS:
        found.add(where, convention, getattr(p.neuron, convention), getattr(q.neuron, convention))
    for name in COEFFICIENTS if same_units else ():
        _compare_arrays(where, name, getattr(p.neuron, name), getattr(q.neuron, name), p.shape, found)


def _compare_arrays(where: str, what: str, a: Array, b: Array, shape: tuple[int, ...], found: Comparison) -> None:
    x, y = (np.broadcast_to(array, shape).astype(np.float64) for array in (a, b))
    if (x == y).all():
        return
    found.add(
        where, what, _range(x), _range(y), n_different=int((x != y).sum()), max_difference=float(np.abs(x - y).max())
    )


def _compare_projections(a: SynapticGraph, b: SynapticGraph, partner: dict[str, str], found: Comparison) -> None:
    ours = _by_ends(a, {name: name for name in partner})
    theirs = _by_ends(b, {name_b: name_a for name_a, name_b in partner.items()})
    for source, target in sorted(set(ours) | set(theirs)):
        x, y = ours.get((source, target), []), theirs.get((source, target), [])
        where = f"projection {source!r} -> {target!r}"
        if len(x) != len(y):
            found.add(where, "projections", len(x), len(y))
            continue
        same_shape = all(a[name].shape == b[partner[name]].shape for name in (source, target))
        for p, q in zip(x, y, strict=True):
            if same_shape:
                _compare_synapses(where, a, p, b, q, found)


def _by_ends(graph: SynapticGraph, rename: dict[str, str]) -> dict[tuple[str, str], list[Projection]]:
    pairs: dict[tuple[str, str], list[Projection]] = {}
    for p in graph.projections:
        if not p.weights.size:
            continue  # it carries nothing
        pairs.setdefault((rename[p.source], rename[p.target]), []).append(p)
    return pairs


def _compare_synapses(
    where: str, a: SynapticGraph, p: Projection, b: SynapticGraph, q: Projection, found: Comparison
) -> None:
    if isinstance(p, SharedCsr) and isinstance(q, SharedCsr) and _geometry(p) == _geometry(q):
        (key_p, weight_p), (key_q, weight_q) = _taps(p), _taps(q)
    else:
        if type(p) is not type(q) or p.pool != q.pool:
            kinds = ["shared" if isinstance(x, SharedCsr) else "explicit" for x in (p, q)]
            found.notes.append(f"{where}: synapses are stored otherwise ({kinds[0]} and {kinds[1]})")
        (key_p, weight_p), (key_q, weight_q) = _synapse_keys(a, p), _synapse_keys(b, q)
    common, in_p, in_q = np.intersect1d(key_p, key_q, assume_unique=True, return_indices=True)
    only_p, only_q = len(key_p) - len(common), len(key_q) - len(common)
    if only_p or only_q:
        words = (f"{len(key_p):,}, of which {only_p:,} only here", f"{len(key_q):,}, of which {only_q:,} only here")
        found.add(where, "synapses (which ones, with which delay)", *words, n_different=only_p + only_q)
    if a.arithmetic != b.arithmetic:
        return
    x, y = weight_p[in_p].astype(np.float64), weight_q[in_q].astype(np.float64)
    if (x != y).any():
        worst = float(np.abs(x - y).max())
        found.add(where, "weights", _range(x), _range(y), n_different=int((x != y).sum()), max_difference=worst)


def _geometry(p: SharedCsr) -> tuple[Any, ...]:
    return p.kernel, p.stride, p.padding, p.dilation, p.pool, p.delay


def _taps(p: SharedCsr) -> tuple[Array, Array]:
    """A key for each tap, and its weight."""
    channel = np.repeat(np.arange(len(p.row_start) - 1), np.diff(p.row_start))
    key = (channel << 32) + (p.out_channels.astype(np.int64) << 16) + (p.ky.astype(np.int64) << 8) + p.kx
    return key, p.weights


def _synapse_keys(graph: SynapticGraph, p: Projection) -> tuple[Array, Array]:
    """A key (source neuron, target neuron, delay) for each synapse, and its weight."""
    target = graph[p.target]
    sources, targets, weights, delays = list_synapses(p, graph[p.source].shape, target.shape)
    return (sources * target.n_neurons + targets) * 65536 + delays, weights


def _range(values: Array) -> str:
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return "none" if low > high else f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
