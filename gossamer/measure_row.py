"""What is measured of a trained network for a row of a study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler import Network, SynapticGraph, compile_network, load_checkpoint
from .hwmodels import EventCounts, LayerActivity, price, synapse_events
from .report.entry import ARITHMETIC, MEMORY, USUAL_CHIPS
from .robustness import attack, audit, ensemble
from .simulator import Activity, simulate

if TYPE_CHECKING:
    from .training import Dataset, Surrogate
    from .training.studies import Base, Study

Facts = dict[str, Any]
WEIGHT_BITS = 8
WARM = 64  # samples


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A network that is measured. source: the artificial network that images are transferred from, if there is one.

    surrogate: what it was trained with.
    """

    path: Path
    source: Path | None
    surrogate: "Surrogate"
    test: "Dataset"
    seed: int


def measure(row: Measured, study: "Study", base: "Base") -> Facts:
    """Accuracy, sparsity, counts, energy and robustness, as JSON values. Every number says what it depends on."""
    network = load_checkpoint(row.path)
    return {
        **_compiled(network, row.test),
        **_attacked(network, row, study, base),
        **_audited(network, row, study, base),
    }


def _compiled(network: Network, test: "Dataset") -> Facts:
    """What the compiled network does on all test images."""
    graph = compile_network(network)
    simulate(graph, test.limit(WARM).scaled())  # kernels are loaded, so that the time is the simulation's
    run = simulate(graph, test.scaled(), test.y)
    quantized = simulate(compile_network(network, weight_bits=WEIGHT_BITS), test.scaled(), test.y)
    chips = USUAL_CHIPS["float32"]
    n_weights = sum(layer.n_weights for layer in run.layers)
    return {
        "n_test": test.n_samples,
        "clean": run.accuracy,
        f"clean_int{WEIGHT_BITS}": quantized.accuracy,
        "n_steps": run.n_steps,
        "weights": n_weights,
        "all_weights": _n_all(network),
        "memory_bytes": sum(graph.memory(p.name)[0] for p in graph.populations),
        "spike_rates": {n: round(run.spike_rate(n), 5) for n in _spiking(graph)},
        "spike_rate": _mean_rate(run, graph),
        "simulation_ms": 1000 * run.seconds / run.n_samples,
        "engine": run.engine,
        "synaptic_ops": run.total.synaptic_ops / run.n_samples,
        "macs": run.total.macs / run.n_samples,
        "energy_pj": {name: _taken_apart(run, chips[name]) for name in (ARITHMETIC, MEMORY)},
    }


def _attacked(network: Network, row: Measured, study: "Study", base: "Base") -> Facts:
    settings, images = study.measure, row.test.limit(study.measure.attacked)
    found: Facts = {"n_attacked": images.n_samples, "pgd": {}, "ensemble": {}, "and_square": {}, "estimators": {}}
    for eps in base.eps:
        own = attack(network, images, eps=eps, n_steps=settings.pgd_steps, surrogate=row.surrogate, seed=row.seed)
        many = ensemble(network, images, eps=eps, n_steps=settings.ensemble_steps, keep_best=True, seed=row.seed)
        name = f"{eps:.6g}"
        found["pgd"][name] = own.adversarial_accuracy
        found["ensemble"][name] = many.adversarial_accuracy
        found["and_square"][name] = _standing(network, images, many.robust, eps, row.seed, settings.queries)
        found["estimators"][name] = {n: [e.n_attacked, e.n_fooled] for n, e in many.estimators.items()}
        found["clean_attacked"] = own.clean_accuracy
    return found


def _standing(
    network: Network, images: "Dataset", robust: Sequence[bool], eps: float, seed: int, n_queries: int
) -> float:
    """Share of the images that Square leaves of those that the ensemble has left."""
    left = [i for i, is_robust in enumerate(robust) if is_robust]
    if not left or not n_queries:
        return len(left) / images.n_samples
    asked = attack(network, images.take(left), attack="square", eps=eps, n_queries=n_queries, seed=seed)
    return sum(asked.robust) / images.n_samples


def _audited(network: Network, row: Measured, study: "Study", base: "Base") -> Facts:
    settings = study.measure
    if not settings.audited:
        return {"audit": None}
    report = audit(
        network,
        row.test,
        sources=[] if row.source is None else [row.source],
        eps=base.eps[0],
        surrogate=row.surrogate,
        seed=row.seed,
        steps=settings.audit_steps,
        n_queries=settings.queries,
        n_samples=settings.audited,
    )
    return {"audit": {"passed": report.passed, "findings": {f.check: [f.passed, f.text] for f in report.findings}}}


def _n_all(network: Network) -> int:
    """Weights, kept or not."""
    from .training import density_of

    return sum(n for _, n in density_of(network).values())


def _spiking(graph: SynapticGraph) -> list[str]:
    return [p.name for p in graph.populations if p.kind == "spiking"]


def _mean_rate(run: Activity, graph: SynapticGraph) -> float:
    """Spikes per spiking neuron and step."""
    names = _spiking(graph)
    spikes = sum(run.layer_counts(name).spikes for name in names)
    return spikes / (sum(graph[name].n_neurons for name in names) * run.n_steps * run.n_samples)


def _taken_apart(run: Activity, chip: str) -> Facts:
    """Picojoules per sample: in all, and by what they were spent on.

    synapses: accumulates of spikes. multiplies: of the direct-coded input, and of graded spikes. Both with the weights,
    indices and accumulators that they read and write. neurons: their updates and spikes, and the state that is moved.
    """
    layers = run.layer_activities()
    parts = {part: [_part(layer, part) for layer in layers] for part in ("synapses", "multiplies", "neurons")}
    return {
        "total": price(layers, chip, run.n_samples).per_sample_pj,
        **{part: price(activities, chip, run.n_samples).per_sample_pj for part, activities in parts.items()},
    }


def _part(layer: LayerActivity, part: str) -> LayerActivity:
    """A layer with the counts of one part alone."""
    counts = layer.counts
    visits = counts.synaptic_ops + counts.macs
    width = {
        "bytes_per_weight": counts.weight_read_bytes // visits if visits else 0,
        "n_targets": layer.n_neurons,
    }
    if part == "synapses":
        return replace(layer, counts=synapse_events(synaptic_ops=counts.synaptic_ops, **width))
    if part == "multiplies":
        return replace(layer, counts=synapse_events(macs=counts.macs, **width))
    accumulators = synapse_events(macs=visits, **width).state_read_bytes
    neurons = EventCounts(
        spikes=counts.spikes,
        neuron_updates=counts.neuron_updates,
        state_read_bytes=counts.state_read_bytes - accumulators,
        state_write_bytes=counts.state_write_bytes - accumulators,
    )
    return replace(layer, counts=neurons)
