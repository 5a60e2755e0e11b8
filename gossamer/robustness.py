"""Is it still robust? The verbs that attack: a network, what it was compiled to, and one through another."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .compiler import Network, SynapticGraph, load_checkpoint, load_graph
from .files import file_kind
from .hwmodels import GossamerError
from .samples import check_classes
from .verbs import needs_torch

if TYPE_CHECKING:
    from .training import (
        AttackReport,
        AuditReport,
        BlackBox,
        Bpda,
        Dataset,
        EnsembleReport,
        MinimalReport,
        Surrogate,
        TorchNetwork,
        TransferReport,
    )

Report = Callable[[int, int], None]
EPS = 8 / 255


def attack(
    network: Network | SynapticGraph | str | Path,
    dataset: "Dataset",
    *,
    attack: str = "pgd",
    eps: float = EPS,
    surrogate: "Surrogate | None" = None,
    bpda: "Bpda | None" = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Report | None = None,
    **options: Any,
) -> "AttackReport":
    """Attack every sample once, and say how many are still classified correctly.

    Args:
        network: A float32 network or the path of its checkpoint, which the attack knows all about; or a graph or the
            path of one, as it ships, which can only be asked: see `transfer` for more.
        dataset: Images and labels, such as `load_dataset("digits", "test")`.
        attack: One of `gossamer.training.ATTACKS`; on a graph one that needs no gradient: "square".
        eps: Largest change of a pixel in [0, 1]; with norm="l2" of the image.
        surrogate: Derivative of a spike for the attack, instead of the triangle of width 1.
        bpda: Gradient through the input coding, which rate, phase and latency coding have none of themselves.
        seed: Of the attack's noise.
        device: Where torch computes: "cpu", "cuda", ...; a graph is simulated on the CPU.
        progress: Called with (samples done, samples).
        **options: What the attack takes besides: n_steps and step_size for "pgd", alpha for "rfgsm".
    Raises: GossamerError: GSM-608 for options out of range and for a gradient of a graph, GSM-702 for an unknown
        attack or option, GSM-701 without torch.
    """
    needs_torch("an attack")
    from .training import evaluate_attack

    chosen = _attack_named(attack, options)
    target = _as_model(network, device)
    return evaluate_attack(
        target, dataset, chosen, seed=seed, surrogate=surrogate, bpda=bpda, progress=progress, eps=eps, **options
    )


def transfer(
    target: Network | SynapticGraph | str | Path,
    sources: Iterable[Network | str | Path],
    dataset: "Dataset",
    *,
    attack: str = "pgd",
    eps: float = EPS,
    surrogate: "Surrogate | None" = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Report | None = None,
    **options: Any,
) -> "TransferReport":
    """Make images that fool the sources, and say how many of them the target still classifies correctly.

    Args:
        target: What is judged: a graph as it ships, a network, or the path of either.
        sources: Float32 networks or paths of their checkpoints: what the graph was compiled from, the artificial
            network of an earlier stage, one that was trained from another seed.
        dataset: Images and labels.
        attack: One of `gossamer.training.ATTACKS`, on each source.
        eps, seed, device, progress, **options: As `attack`.
        surrogate: Derivative of a spike in the sources, instead of the triangle of width 1.
    Raises: GossamerError: As `attack`; GSM-608 without a source.
    """
    needs_torch("an attack")
    from .training import evaluate_transfer

    chosen = _attack_named(attack, options)
    made_on = _source_models(sources, dataset, surrogate, device)
    return evaluate_transfer(
        _as_model(target, device), made_on, dataset, chosen, seed=seed, progress=progress, eps=eps, **options
    )


def ensemble(
    network: Network | str | Path,
    dataset: "Dataset",
    *,
    attack: str = "pgd",
    eps: float = EPS,
    extended: bool = False,
    bpda: "Bpda | None" = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Report | None = None,
    **options: Any,
) -> "EnsembleReport":
    """Attack a spiking network once for each of a list of surrogates; a sample is robust if none of them fools it.

    Args:
        network: A float32 spiking network, or the path of its checkpoint.
        dataset: Images and labels.
        attack: One of `gossamer.training.ATTACKS` that follows a gradient.
        extended: True adds the network's own surrogate and the adaptive one.
        eps, bpda, seed, device, progress, **options: As `attack`.
    Returns: What `gossamer.training.evaluate_ensemble` does: accuracies, and what each surrogate found.
    Raises: GossamerError: As `attack`.
    """
    needs_torch("an attack")
    from .training import evaluate_ensemble

    chosen = _attack_named(attack, options)
    target = as_network(network, device=device)
    return evaluate_ensemble(
        target, dataset, chosen, seed=seed, extended=extended, bpda=bpda, progress=progress, eps=eps, **options
    )


def minimal_eps(
    network: Network | SynapticGraph | str | Path,
    dataset: "Dataset",
    *,
    attack: str = "pgd",
    max_eps: float,
    norm: Literal["linf", "l2"] = "linf",
    n_bisections: int = 8,
    surrogate: "Surrogate | None" = None,
    bpda: "Bpda | None" = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Report | None = None,
    **options: Any,
) -> "MinimalReport":
    """How far each sample must be changed: `gossamer.training.minimal_eps`; `robustness_curve` counts from it.

    Args:
        network: As `attack`.
        dataset: Images and labels.
        attack: One of `gossamer.training.ATTACKS`; "fab" and "fab-t" look for small changes themselves, and take
            n_bisections = 0.
        max_eps: The largest change that is tried.
        norm: "linf" or "l2": what a change is measured in.
        n_bisections: Attacks on each sample after the one at max_eps.
        surrogate, bpda, seed, device, **options: As `attack`.
        progress: Called with (attacks on one sample done, all that are needed).
    Returns: Each sample's distance: an upper bound, 0 where it is wrong as it is, infinite where nothing was found.
    Raises: GossamerError: As `attack`.
    """
    needs_torch("an attack")
    from . import training

    chosen = _attack_named(attack, options)
    target = _as_model(network, device)
    return training.minimal_eps(
        target, dataset, chosen, max_eps=max_eps, norm=norm, n_bisections=n_bisections, seed=seed, surrogate=surrogate,
        bpda=bpda, progress=progress, **options,
    )  # fmt: skip


def audit(
    network: Network | str | Path,
    dataset: "Dataset",
    *,
    sources: Iterable[Network | str | Path] = (),
    eps: float = EPS,
    surrogate: "Surrogate | None" = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Report | None = None,
    **options: Any,
) -> "AuditReport":
    """Look for signs that a network hides its gradient instead of being robust: `gossamer.training.audit`.

    Args:
        network: A float32 network with direct coding, or the path of its checkpoint.
        dataset: Images and labels.
        sources: Networks or checkpoints to transfer from.
        eps: Size of the L-inf ball.
        surrogate: Derivative of a spike in network and sources, instead of the triangle of width 1.
        seed: Of all that is drawn.
        device: As `attack`.
        progress: Called with (attacks done, attacks to do).
        **options: steps, sizes, n_queries, n_noise, n_samples: see `gossamer.training.audit`.
    Raises: GossamerError: GSM-608 for options out of range, GSM-702 for an unknown one, GSM-701 without torch.
    """
    needs_torch("an attack")
    from . import training

    check_known(options, ("steps", "sizes", "n_queries", "n_noise", "n_samples"), of="the audit")
    model = as_network(network, surrogate, device)
    made_on = _source_models(sources, dataset, surrogate, device)
    return training.audit(model, dataset, eps=eps, sources=made_on, seed=seed, progress=progress, **options)


def _source_models(
    sources: Iterable[Network | str | Path], dataset: "Dataset", surrogate: "Surrogate | None", device: str
) -> "dict[str, TorchNetwork]":
    """Networks to craft images on, by path or name; a second one of a name is called "name#2".

    Raises: GossamerError: GSM-605 for one with other classes than the data set.
    """
    models: dict[str, TorchNetwork] = {}
    for source in sources:
        name = source.name if isinstance(source, Network) else str(source)
        n = 1 + sum(known == name or known.rpartition("#")[0] == name for known in models)
        model = as_network(source, surrogate, device)
        output = model.network[model.network.output]
        check_classes(dataset.n_classes, output.n_neurons, data=f"{dataset.name}, source {name}")
        models[name if n == 1 else f"{name}#{n}"] = model
    return models


def _as_model(network: Network | SynapticGraph | str | Path, device: str) -> "TorchNetwork | BlackBox":
    """Something that an attack can ask, and follow the gradients of where it has any."""
    from .compiled_model import compiled_model

    if isinstance(network, SynapticGraph):
        return compiled_model(network)
    if isinstance(network, str | Path) and file_kind(network) == "graph":
        return compiled_model(load_graph(network))
    return as_network(network, device=device)


def as_network(
    network: Network | str | Path, surrogate: "Surrogate | None" = None, device: str = "cpu"
) -> "TorchNetwork":
    """A network, or the one in a checkpoint, in torch, on a device.

    Raises: GossamerError: GSM-608 for a device that is not there.
    """
    from .training import TorchNetwork, usable_device

    there = usable_device(device)
    read = network if isinstance(network, Network) else load_checkpoint(network)
    return TorchNetwork(read, surrogate=surrogate).to(there)


def _attack_named(name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The attack, which takes these options.

    Raises: GossamerError: GSM-702 if there is none, or if it does not.
    """
    from .training import ATTACKS

    if name not in ATTACKS:
        raise GossamerError("GSM-702", "no such attack", found=repr(name), expected=" or ".join(ATTACKS))
    takes = [p.name for p in signature(ATTACKS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    check_known(options, [option for option in takes if option not in ("eps", "generator")], of=f"attack {name!r}")
    return ATTACKS[name]


def check_known(options: Mapping[str, Any], known: Sequence[str], *, of: str) -> None:
    """Refuse options that are not known.

    Raises: GossamerError: GSM-702.
    """
    for option in options:
        if option not in known:
            raise GossamerError(
                "GSM-702", "no such option here", where=of, found=option, expected=", ".join(known) or "no options"
            )
