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
from .simulator import Activity, SpikeComparison, compare_spikes, load_activity, run_reference, simulate

BLOCK = 64  # samples at a time: the reference and torch keep every spike


@dataclass(frozen=True, kw_only=True)
class Check:
    """One answer. measured: a number to know, not a condition to hold."""

    passed: bool
    text: str
    measured: bool = False


def integers_agree(network: Network, x: Array, *, weight_bits: int = 8) -> list[Check]:
    """Quantized, the engine, the plain reference and PyTorch must emit the same spikes, every one.

    Args:
        network: Float32, as trained.
        x: (n_samples, *shape) values in [0, 1].
    """
    integer = quantize(canonicalize(network), weight_bits=weight_bits)
    engine, reference, torch = _executions(integer, x)
    texts = {"the plain reference": reference, "PyTorch (integer-exact evaluation)": torch}
    return [
        Check(
            passed=found.equal,
            text=f"{weight_bits}-bit network: the engine's spikes equal those of {name} on {len(x):,} samples: "
            f"{count(found.n_compared)} neuron-steps compared, {_difference(found)}",
        )
        for name, found in ((name, _compare(engine, other)) for name, other in texts.items())
    ]


def floats_measured(network: Network, x: Array) -> list[Check]:
    """In float32, sums in another order may flip a spike: how many flip, and how many predictions."""
    engine, reference, torch = _executions(canonicalize(network), x, torch_network=network)
    checks = []
    for name, other in (("the plain reference", reference), ("PyTorch", torch)):
        found = _compare(engine, other)
        n_other = int((engine[1].argmax(1) != other[1].argmax(1)).sum())
        text = (
            f"float32 network: engine and {name} differ in {count(found.n_different)} of {count(found.n_compared)} "
            f"neuron-steps ({100 * found.share_different:.4g} %) and in {n_other} of {len(x):,} predictions"
        )
        checks.append(Check(passed=True, measured=True, text=text))
    return checks


def counts_agree(network: Network, x: Array) -> list[Check]:
    """Counts depend neither on how synapses are stored nor on threads."""
    shared, unrolled = (to_synaptic_graph(canonicalize(network), unroll=unroll) for unroll in (False, True))
    one = simulate(shared, x, threads=1)
    pairs = (
        ("shared and unrolled synapses", simulate(unrolled, x, threads=1)),
        ("1 and 2 threads", simulate(shared, x, threads=2)),
    )
    return [
        Check(
            passed=bool((one.counts == other.counts).all()),
            text=f"{name} give the same counts in every layer and step, on {len(x):,} samples",
        )
        for name, other in pairs
    ]


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


Execution = tuple[dict[str, Array], Array]


def _executions(
    network: Network, x: Array, *, torch_network: Network | None = None
) -> tuple[Execution, Execution, Execution]:
    """Spikes and logits of engine, reference and PyTorch."""
    run: Activity = simulate(to_synaptic_graph(network), x, record=("*",))
    names = [layer.name for layer in run.layers if layer.kind != "readout"]
    blocks = [x[start : start + BLOCK] for start in range(0, len(x), BLOCK)]
    references = [run_reference(network, block) for block in blocks]
    torches = [_in_torch(torch_network or network, block) for block in blocks]
    return (
        ({name: run.spikes[name] for name in names}, run.logits),
        (
            {name: np.concatenate([t.spikes[name] for t in references]) for name in names},
            np.concatenate([t.logits for t in references]),
        ),
        (
            {name: np.concatenate([spikes[name] for spikes, _ in torches]) for name in names},
            np.concatenate([logits for _, logits in torches]),
        ),
    )


def _in_torch(network: Network, x: Array) -> Execution:
    from .training import TorchNetwork

    torch = optional_package("torch", extra="train", needed_for="a comparison with PyTorch")
    model = TorchNetwork(network).eval()
    with torch.no_grad():
        logits, spikes = model(torch.from_numpy(x), record=True)
    return {name: s.numpy().swapaxes(0, 1) for name, s in spikes.items()}, logits.numpy()


def _compare(a: Execution, b: Execution) -> SpikeComparison:
    return compare_spikes(a[0], b[0])


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
