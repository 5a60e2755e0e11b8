"""What is measured of a trained network for a row of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .compiler import Network, SynapticGraph, compile_network, load_checkpoint
from .hwmodels import EventCounts, LayerActivity, price, synapse_events
from .report.entry import ARITHMETIC, MEMORY, USUAL_CHIPS
from .robustness import attack, audit, ensemble, transfer
from .simulator import Activity, simulate

if TYPE_CHECKING:
    from .training import Dataset, Surrogate
    from .training.studies import Base, Study

Facts = dict[str, Any]
WEIGHT_BITS = 8
TIMED, ROUNDS = 256, 5  # samples, and how often they are simulated to see how long it takes


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A network that is measured. sources: the networks that images are transferred from.

    surrogate: what it was trained with. device: where torch attacks.
    """

    path: Path
    sources: tuple[Path, ...]
    surrogate: "Surrogate"
    test: "Dataset"
    seed: int
    device: str


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
    run = simulate(graph, test.scaled(), test.y)
    quantized = simulate(compile_network(network, weight_bits=WEIGHT_BITS), test.scaled(), test.y)
    chips = USUAL_CHIPS["float32"]
    return {
        "n_test": test.n_samples,
        "clean": run.accuracy,
        f"clean_int{WEIGHT_BITS}": quantized.accuracy,
        "n_steps": run.n_steps,
        "weights": sum(layer.n_weights for layer in run.layers),
        "all_weights": _n_all(network),
        "memory_bytes": sum(graph.memory(p.name)[0] for p in graph.populations),
        "index_bytes": sum(layer.index_bytes for layer in run.layers),
        "spike_rates": {n: round(run.spike_rate(n), 5) for n in _spiking(graph)},
        "spike_rate": _mean_rate(run, graph),
        "simulation_ms": _milliseconds(graph, test),
        "engine": run.engine,
        "synaptic_ops": run.total.synaptic_ops / run.n_samples,
        "macs": run.total.macs / run.n_samples,
        "energy_pj": {name: _taken_apart(run, chips[name]) for name in (ARITHMETIC, MEMORY)},
    }


def _milliseconds(graph: SynapticGraph, test: "Dataset") -> float:
    """To simulate a sample on one core, the median of some rounds."""
    images = test.limit(TIMED).scaled()
    runs = [simulate(graph, images, threads=1) for _ in range(ROUNDS + 1)]  # kernels are loaded in the first
    return 1000 * median(run.seconds / run.n_samples for run in runs[1:])


def _attacked(network: Network, row: Measured, study: "Study", base: "Base") -> Facts:
    """Each attack's survivors are among those of the ones before it: PGD, the ensemble, Square.

    "shipped": of the 8-bit graph, under the images that PGD makes on the float network.
    """
    settings = study.measure_of(base)
    images = row.test.limit(settings.attacked)
    shipped = compile_network(network, weight_bits=WEIGHT_BITS)
    found: Facts = {"n_attacked": images.n_samples, "estimators": {}}
    found |= {kind: {} for kind in ("pgd", "ensemble", "and_square", "shipped")}
    for eps in base.eps:
        common: Any = {"eps": eps, "seed": row.seed, "device": row.device}
        pgd: Any = {**common, "n_steps": settings.pgd_steps, "surrogate": row.surrogate}
        own = attack(network, images, **pgd)
        many = ensemble(network, images, n_steps=settings.ensemble_steps, keep_best=True, **common)
        both = [a and b for a, b in zip(own.robust, many.robust, strict=True)]
        name = f"{eps:.6g}"
        found["clean_attacked"] = own.clean_accuracy
        found["pgd"][name] = own.adversarial_accuracy
        found["ensemble"][name] = sum(both) / images.n_samples
        found["and_square"][name] = _standing(network, images, both, settings.queries, common)
        found["shipped"][name] = transfer(shipped, [network], images, **pgd).adversarial_accuracy
        found["estimators"][name] = {n: [e.n_attacked, e.n_fooled] for n, e in many.estimators.items()}
    return found


def _standing(
    network: Network, images: "Dataset", robust: Sequence[bool], n_queries: int, common: Mapping[str, Any]
) -> float:
    """Share of the images that Square leaves of those that are left."""
    left = [i for i, is_robust in enumerate(robust) if is_robust]
    if not left or not n_queries:
        return len(left) / images.n_samples
    asked = attack(network, images.take(left), attack="square", n_queries=n_queries, **common)
    return sum(asked.robust) / images.n_samples


def _audited(network: Network, row: Measured, study: "Study", base: "Base") -> Facts:
    settings = study.measure
    if not settings.audited:
        return {"audit": None}
    report = audit(
        network,
        row.test,
        sources=row.sources,
        eps=base.eps[0],
        surrogate=row.surrogate,
        seed=row.seed,
        device=row.device,
        steps=settings.audit_steps,
        n_queries=settings.queries,
        n_samples=settings.audited,
    )
    findings = {f.check: [f.passed, f.text] for f in report.findings}
    return {"audit": {"passed": report.passed, "findings": findings, "not_checked": report.not_checked}}


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
    indices: what synapses and multiplies spend on reading them; a dense network would need none.
    """
    layers = run.layer_activities()
    parts = {
        part: [_part(layer, part) for layer in layers] for part in ("synapses", "multiplies", "neurons", "indices")
    }
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
    if part == "indices":
        return replace(layer, counts=EventCounts(index_read_bytes=counts.index_read_bytes))
    accumulators = synapse_events(macs=visits, **width).state_read_bytes
    neurons = EventCounts(
        spikes=counts.spikes,
        neuron_updates=counts.neuron_updates,
        state_read_bytes=counts.state_read_bytes - accumulators,
        state_write_bytes=counts.state_write_bytes - accumulators,
    )
    return replace(layer, counts=neurons)
