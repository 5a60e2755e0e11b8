"""Is it the same network everywhere, and are its files whole? What `gossamer demo` checks before it believes itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .compiler import (
    Array,
    Conv2d,
    Dense,
    Network,
    canonicalize,
    load_checkpoint,
    load_graph,
    quantize,
    to_synaptic_graph,
)
from .files import file_kind
from .hwmodels import GossamerError
from .report.numbers import count
from .report.optional import optional_package
from .simulator import SpikeComparison, compare_spikes, load_activity, run_reference, simulate, why_not_bits

BLOCK = 64  # samples at a time: the reference and torch keep every spike


@dataclass(frozen=True, kw_only=True)
class Check:
    """One answer. measured: a number to know, not a condition to hold."""

    passed: bool
    text: str
    measured: bool = False


def integers_agree(network: Network, x: Array, *, weight_bits: int = 8) -> list[Check]:
    """Quantized, both engines, the plain reference and PyTorch must emit the same spikes, every one.

    Args:
        network: Float32, as trained.
        x: (n_samples, *shape) values in [0, 1].
    """
    integer = quantize(canonicalize(network), weight_bits=weight_bits)
    names = {
        "reference": "the plain reference",
        "torch": "PyTorch (integer-exact evaluation)",
        "bits": "the bit-parallel engine",
    }
    return [
        Check(
            passed=found.equal,
            text=f"{weight_bits}-bit network: the event engine's spikes equal those of {names[other]} on "
            f"{len(x):,} samples: {count(found.n_compared)} neuron-steps compared, {_difference(found)}",
        )
        for other, (found, _) in _against_engine(integer, integer, x).items()
    ]


def floats_measured(network: Network, x: Array) -> list[Check]:
    """In float32, sums in another order may flip a spike: how many flip, and how many predictions. None may between
    the engines, which add in the same order."""
    names = {"reference": "the plain reference", "torch": "PyTorch", "bits": "the bit-parallel engine"}
    return [
        Check(
            passed=other != "bits" or found.equal,
            measured=other != "bits",  # which adds in the same order
            text=f"float32 network: event engine and {names[other]} differ in {count(found.n_different)} of "
            f"{count(found.n_compared)} neuron-steps ({100 * found.share_different:.4g} %) and in {n_predictions} of "
            f"{len(x):,} predictions",
        )
        for other, (found, n_predictions) in _against_engine(canonicalize(network), network, x).items()
    ]


def counts_agree(network: Network, x: Array, *, weight_bits: int = 8) -> list[Check]:
    """Counts depend neither on how synapses are stored nor on threads, in float32 and quantized."""
    plain, checks = canonicalize(network), []
    for title, one in (("float32", plain), (f"{weight_bits}-bit", quantize(plain, weight_bits=weight_bits))):
        shared, unrolled = (to_synaptic_graph(one, unroll=unroll) for unroll in (False, True))
        run = simulate(shared, x, threads=1)
        for name, graph, threads in (("shared and unrolled synapses", unrolled, 1), ("1 and 2 threads", shared, 2)):
            same = bool((run.counts == simulate(graph, x, threads=threads).counts).all())
            text = f"{title} network: {name} give the same counts in every layer and step, on {len(x):,} samples"
            checks.append(Check(passed=same, text=text))
    return checks


def masks_held(checkpoints: Sequence[Path]) -> list[Check]:
    """A weight that was pruned in the first checkpoint is zero in all that follow."""
    pruned = _alive(load_checkpoint(checkpoints[0]))
    broken = [
        f"{path.name}: {name}"
        for path in checkpoints[1:]
        for name, alive in _alive(load_checkpoint(path)).items()
        if (alive & ~pruned[name]).any()
    ]
    n_alive, n_all = (sum(int(f(mask)) for mask in pruned.values()) for f in (np.count_nonzero, np.size))
    text = f"pruned weights stayed zero through {len(checkpoints) - 1} later stages: {n_alive:,} of {n_all:,} are left"
    return [Check(passed=not broken, text=text if not broken else f"pruned weights came back in {', '.join(broken)}")]


def files_whole(paths: Sequence[Path]) -> list[Check]:
    """Every file reads back, and every checksum in it is right."""
    readers: Mapping[str, Any] = {"checkpoint": load_checkpoint, "graph": load_graph, "activity": load_activity}
    damaged = []
    for path in paths:
        try:
            readers[file_kind(path)](path)
        except GossamerError as error:
            damaged.append(str(error))
    what = f"{len(paths)} files read back, every checksum right" if not damaged else "; ".join(damaged)
    return [Check(passed=not damaged, text=what)]


def _against_engine(network: Network, in_torch: Network, x: Array) -> dict[str, tuple[SpikeComparison, int]]:
    """Differing spikes and predictions of the event engine and each other executor.

    in_torch: what PyTorch runs: the network, or the one that it was compiled from.
    """
    graph = to_synaptic_graph(network)
    emitting = [p.name for p in graph.populations if p.kind != "readout"]
    nothing = SpikeComparison(n_compared=0, n_different=0, first=None)
    found: dict[str, tuple[SpikeComparison, int]] = {}
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        run, plain = simulate(graph, block, record=emitting, engine="event"), run_reference(network, block)
        others = {"reference": (plain.spikes, plain.logits), "torch": _in_torch(in_torch, block)}
        if why_not_bits(graph) is None:
            words = simulate(graph, block, record=emitting, engine="bits")
            others["bits"] = words.spikes, words.logits
        for name, (spikes, logits) in others.items():
            kept = {population: spikes[population] for population in emitting}
            comparison, n_predictions = found.get(name, (nothing, 0))
            comparison += compare_spikes(run.spikes, kept, first_sample=start)
            n_predictions += int((run.logits.argmax(1) != logits.argmax(1)).sum())
            found[name] = comparison, n_predictions
    return found


def _in_torch(network: Network, x: Array) -> tuple[dict[str, Array], Array]:
    optional_package("torch", extra="train", needed_for="a comparison with PyTorch")
    from .training import record_spikes

    return record_spikes(network, x)


def _difference(found: SpikeComparison) -> str:
    return "none differs" if found.first is None else f"{found.n_different:,} differ, first at {found.first}"


def _alive(network: Network) -> dict[str, Array]:
    """Per weight map, which weights are not zero once the mask is applied."""
    alive = {}
    for c in network.connections:
        for i, m in enumerate(c.maps):
            if isinstance(m, Dense | Conv2d):
                kept = m.weight != 0
                alive[f"{c.source} -> {c.target}, map {i}"] = kept if m.mask is None else kept & m.mask
    return alive
