"""Images that cost: inside the ball around an image, the one on which a spiking network works most.

What a spike costs is the number of synapses that lead out of its neuron. Their sum over a run is `synaptic_ops`, which
the simulator counts and chips price (docs/explanation/counting.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...compiler import Array, Network, SynapticGraph, compile_network, pooled_to_source
from ..data import Dataset
from ..errors import TrainingError
from ..evaluate import batches, device_of
from ..seeds import torch_rng
from ..torch_maps import to_array
from ..torch_network import TorchNetwork
from .gradient import check, noise, project, under_attack
from .modes import eval_mode
from .pgd import usual_step_size

FanOut = Mapping[str, Tensor]


def fan_out(network: Network | SynapticGraph) -> dict[str, Tensor]:
    """{population: (*shape) float64}: synapses that a spike of each neuron visits, of every population that spikes.

    Pruned weights and taps that would land outside the picture are none; a pooled neuron has those of its window.
    Populations whose events are numbers (images, relu, joins) multiply instead and are left out.

    Args:
        network: Compiled first, if it is not; pass a quantized graph for its own synapses, without the weights that
            rounding made 0.
    Raises: CompileError: GSM-2xx for a network that cannot be compiled.
    """
    graph = network if isinstance(network, SynapticGraph) else compile_network(network)
    counts: dict[str, Tensor] = {}
    for population in graph.populations:
        is_number = population.is_graded or (population.kind == "input" and graph.coding.is_real)
        if is_number or population.kind == "readout":
            continue
        total = torch.zeros(population.n_neurons, dtype=torch.float64)
        for p in graph.projections:
            if p.source == population.name:
                per_row = p.row_fan_out(population.shape, graph[p.target].shape)
                total += torch.from_numpy(pooled_to_source(per_row, population.shape, p.pool).copy())
        counts[population.name] = total.reshape(population.shape)
    return counts


def synaptic_ops(emitted: Mapping[str, Tensor], synapses: FanOut) -> Tensor:
    """(batch,) float64 synaptic operations of each sample: exact, and differentiable where spikes are.

    Args:
        emitted: {population: (T, batch, *shape)}, as `TorchNetwork.forward` records it.
        synapses: What `fan_out` found.
    """
    total: Tensor | None = None
    for name, each in synapses.items():
        spikes = emitted[name].flatten(2).sum(0).double() if name in emitted else None
        if spikes is not None:
            ops = spikes @ each.to(spikes.device).flatten()
            total = ops if total is None else total + ops
    if total is None:
        raise TrainingError(
            "GSM-608",
            "this network has no spikes to count",
            found="no spiking population",
            expected="a spiking network",
            remedy="attack the converted or fine-tuned network: an artificial one multiplies, whatever the image",
        )
    return total


def energy_attack(
    model: TorchNetwork,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    n_steps: int = 20,
    step_size: float | None = None,
    start: Literal["uniform", "clean"] = "uniform",
    keep_prediction: bool = True,
    synapses: FanOut | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Projected gradient ascent on the synaptic operations; of all images on the way, the one that costs most.

    The gradient of the count goes through the surrogate; which image costs most is decided by the count itself, so that
    none costs less than the clean one. Multiply-accumulates of the first layer are not climbed: an image costs them for
    every pixel that is not exactly 0, which has no gradient.

    Args:
        model: A spiking network, float32, direct coding.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels: not used, but checked; the prediction that is kept is the clean one, right or wrong.
        eps: Largest change of a pixel, 0 ... 1.
        n_steps: Number of steps, 1 ... 10,000.
        step_size: Change of a pixel per step; 2.5 eps / n_steps if not given.
        start: "uniform", anywhere within eps, or "clean", which is x.
        keep_prediction: Only images that are classified as the clean one count, so that nobody sees the attack in the
            answers; a step that starts beyond the boundary leads back to the clean prediction.
        synapses: What `fan_out` found, if the caller has it; else it is found here, which compiles the network.
        generator: Source of the start.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range, and for a network without spikes or gradient.
    Source: the aim is that of sponge examples (Shumailov et al. 2021), there for artificial networks.
    """
    step_size = usual_step_size(eps, n_steps) if step_size is None else step_size
    check(x, y, eps=(eps, 0, 1), n_steps=(n_steps, 1, 10_000), step_size=(step_size, 0, 1))
    if synapses is None:
        synapses = fan_out(model.to_network())
    with under_attack(model):
        clean, most = _answer(model, x, synapses)
        best, tried = x, x
        if start == "uniform":
            tried = project(x + eps * noise(x, generator, normal=False), x, eps)
        for step in range(n_steps + 1):
            with torch.enable_grad():
                tried = tried.detach().requires_grad_(True)
                logits, emitted = model(tried, record=True)
                ops = synaptic_ops(emitted, synapses)
                is_kept = logits.argmax(1) == clean if keep_prediction else torch.ones_like(clean, dtype=torch.bool)
                loss = F.cross_entropy(logits, clean, reduction="none")
                goal = torch.where(is_kept, ops.to(loss), -loss).sum()
                gradient = _gradient(goal, tried) if step < n_steps else None
            is_better = is_kept & (ops.detach() > most)
            most = torch.where(is_better, ops.detach(), most)
            best = torch.where(is_better.reshape(-1, *(1,) * (x.ndim - 1)), tried.detach(), best)
            if gradient is not None:
                tried = project(tried.detach() + step_size * gradient.sign(), x, eps)
    return best


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergyAttackReport:
    """Synaptic operations of every image: as it is, with noise of the same size, and under attack.

    clean_ops, noise_ops, attacked_ops: (n_samples,) int64 exact counts, in the data set's order.
    is_kept: (n_samples,) bool: the attack left the prediction as it was.
    noisy, attacked: (n_samples, C, H, W) float32, the images, so that another executor can count on them.
    options: every option of the attack, given or by default.
    """

    clean_ops: Array
    noise_ops: Array
    attacked_ops: Array
    is_kept: Array
    noisy: Array
    attacked: Array
    options: dict[str, Any]

    @property
    def factor(self) -> float:
        """Synaptic operations of all images under attack, over those of the clean ones; NaN if these cost none."""
        return _ratio(self.attacked_ops, self.clean_ops)

    @property
    def noise_factor(self) -> float:
        """The same for noise."""
        return _ratio(self.noise_ops, self.clean_ops)


def evaluate_energy(
    model: TorchNetwork,
    dataset: Dataset,
    *,
    eps: float,
    n_steps: int = 20,
    step_size: float | None = None,
    keep_prediction: bool = True,
    synapses: FanOut | None = None,
    seed: int = 0,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> EnergyAttackReport:
    """Attack the energy of every image, beside noise that moves every pixel by eps, up or down. In eval mode.

    Args:
        model: A spiking network, float32, direct coding.
        dataset: Images and labels.
        eps, n_steps, step_size, keep_prediction, synapses: See `energy_attack`.
        seed: Of the attack's start and of the noise; batch i draws from (seed, i).
        batch_size: Images at a time.
        progress: Called with (samples done, samples) after each batch.
    Raises: TrainingError: GSM-608, as `energy_attack`.
    """
    if seed < 0:
        raise TrainingError("GSM-608", "option out of range", where="seed", found=seed, expected=">= 0")
    there = fan_out(model.to_network()) if synapses is None else synapses
    step = usual_step_size(eps, n_steps) if step_size is None else step_size
    options: dict[str, Any] = {
        "eps": eps,
        "n_steps": n_steps,
        "step_size": step,
        "start": "uniform",
        "keep_prediction": keep_prediction,
    }
    images: dict[str, list[Tensor]] = {"noisy": [], "attacked": []}
    ops: dict[str, list[Tensor]] = {"clean": [], "noisy": [], "attacked": []}
    is_kept: list[Tensor] = []
    with eval_mode(model):
        for i, (x, y) in enumerate(batches(dataset, batch_size, device_of(model))):
            sign = noise(x, torch_rng(seed, "noise", i), normal=True).sign()
            images["noisy"].append(project(x + eps * sign, x, eps))
            draw = torch_rng(seed, "energy", i)
            images["attacked"].append(energy_attack(model, x, y, synapses=there, generator=draw, **options))
            predicted = {}
            for name, shown in (("clean", x), *((name, made[-1]) for name, made in images.items())):
                predicted[name], counted = _answer(model, shown, there)
                ops[name].append(counted.long())
            is_kept.append(predicted["clean"] == predicted["attacked"])
            if progress is not None:
                progress(min((i + 1) * batch_size, dataset.n_samples), dataset.n_samples)
    return EnergyAttackReport(
        clean_ops=to_array(torch.cat(ops["clean"])),
        noise_ops=to_array(torch.cat(ops["noisy"])),
        attacked_ops=to_array(torch.cat(ops["attacked"])),
        is_kept=to_array(torch.cat(is_kept)),
        noisy=to_array(torch.cat(images["noisy"])),
        attacked=to_array(torch.cat(images["attacked"])),
        options=options,
    )


def _answer(model: nn.Module, x: Tensor, synapses: FanOut) -> tuple[Tensor, Tensor]:
    """(batch,) predictions and synaptic operations."""
    with torch.no_grad():
        logits, emitted = model(x, record=True)
    return logits.argmax(1), synaptic_ops(emitted, synapses)


def _gradient(goal: Tensor, x: Tensor) -> Tensor:
    gradient = torch.autograd.grad(goal, x, allow_unused=True)[0] if goal.requires_grad else None
    if gradient is None:
        raise TrainingError(
            "GSM-608",
            "no gradient reaches the pixels",
            expected="direct input coding and float32 arithmetic",
            remedy="attack the float network before it is quantized, with direct coding",
        )
    return gradient


def _ratio(a: Array, b: Array) -> float:
    return float(a.sum() / b.sum()) if b.sum() else float("nan")
