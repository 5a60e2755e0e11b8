"""How much can an image be made to cost? Made in torch, counted by the simulator, priced by chips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler import Network, SynapticGraph, compile_network, load_graph
from .hwmodels import EnergyReport, GossamerError, chip_and_prices
from .robustness import EPS, as_network, check_known
from .simulator import Activity, Samples, simulate
from .verbs import energy, needs_torch

if TYPE_CHECKING:
    from .training import Dataset, Surrogate


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergyAttack:
    """What images that were made to cost do cost, as the simulator counts it and chips price it.

    runs: "clean", "noise" and "attacked": the same samples as they are, with noise of the same size, and attacked.
    energies: per chip and run.
    share_kept: samples whose prediction on the graph is that of the clean image.
    options: every option of the attack, given or by default.
    """

    runs: dict[str, Activity]
    energies: dict[str, dict[str, EnergyReport]]
    share_kept: float
    options: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: synaptic operations, multiply-accumulates and pJ per sample, and how they compare with clean."""
        n = self.runs["clean"].n_samples
        ops, macs = (
            {name: getattr(run.total, count) / n for name, run in self.runs.items()}
            for count in ("synaptic_ops", "macs")
        )
        energies = {
            chip: {
                **_compared({name: report.per_sample_pj for name, report in reports.items()}),
                "partial": any(report.partial for report in reports.values()),
            }
            for chip, reports in self.energies.items()
        }
        return {
            "n_samples": n,
            "share_kept": self.share_kept,
            "synaptic_ops": _compared(ops),
            "macs": _compared(macs),
            "energy_pj": energies,
        }


def energy_attack(
    network: Network | str | Path,
    dataset: "Dataset",
    *,
    graph: SynapticGraph | str | Path | None = None,
    chips: str | Sequence[str] = (),
    eps: float = EPS,
    surrogate: "Surrogate | None" = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> EnergyAttack:
    """Make images that cost as much energy as they can, and count and price them in the simulator.

    Args:
        network: A float32 spiking network with direct coding, or the path of its checkpoint, on which images are made.
        dataset: Images and labels; these only give the runs their accuracy.
        graph: What they are counted on: a graph as it ships, or the path of one; else the network compiled in float32.
        chips: See `gossamer.energy`; none are needed for the counts.
        eps: Largest change of a pixel in [0, 1].
        surrogate: Derivative of a spike, instead of the triangle of width 1.
        seed: Of the start and of the noise.
        device: Where torch computes.
        progress: Called with (samples attacked, samples).
        **options: n_steps, step_size, keep_prediction: see `gossamer.training.evaluate_energy`.
    Raises: GossamerError: GSM-608 for options out of range and networks without spikes, GSM-702 for an unknown option,
        GSM-501..504 for a chip, GSM-701 without torch.
    """
    needs_torch("an attack")
    from .training import evaluate_energy, fan_out

    check_known(options, ("n_steps", "step_size", "keep_prediction"), of="the energy attack")
    names = [chips] if isinstance(chips, str) else list(chips)
    for chip in names:
        chip_and_prices(chip)
    model = as_network(network, surrogate, device)
    shipped = load_graph(graph) if isinstance(graph, str | Path) else graph or compile_network(model.network)
    _check_same(model.network, shipped)
    report = evaluate_energy(
        model, dataset, eps=eps, synapses=fan_out(shipped), seed=seed, progress=progress, **options
    )
    images: dict[str, Samples] = {"clean": dataset.scaled(), "noise": report.noisy, "attacked": report.attacked}
    runs = {name: simulate(shipped, x, dataset.y) for name, x in images.items()}
    priced = {name: energy(run, names) for name, run in runs.items()}
    return EnergyAttack(
        runs=runs,
        energies={chip: {name: reports[chip] for name, reports in priced.items()} for chip in names},
        share_kept=float((runs["clean"].predictions == runs["attacked"].predictions).mean()),
        options=report.options,
    )


def _check_same(network: Network, graph: SynapticGraph) -> None:
    """Refuse a graph that was compiled from something else: its synapses would not be those of these neurons.

    Raises: GossamerError: GSM-702.
    """
    made_of, ships = (
        {p.name: p.shape for p in parts.populations if p.kind != "join"}  # which compiling takes apart
        for parts in (network, graph)
    )
    if made_of != ships:
        raise GossamerError(
            "GSM-702",
            "the graph was not compiled from this network",
            where=graph.name,
            found=", ".join(f"{name} {shape}" for name, shape in ships.items()),
            expected=", ".join(f"{name} {shape}" for name, shape in made_of.items()),
        )


def _compared(per_sample: dict[str, float]) -> dict[str, float | None]:
    """With the factors by which noise and attack exceed the clean images; None where these have nothing."""
    clean = per_sample["clean"]
    return {
        **per_sample,
        "noise_factor": per_sample["noise"] / clean if clean else None,
        "factor": per_sample["attacked"] / clean if clean else None,
    }
