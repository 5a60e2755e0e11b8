"""Is it still robust? The verbs that attack: a network, what it was compiled to, and one through another."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler import Network, SynapticGraph, load_checkpoint, load_graph
from .files import file_kind
from .hwmodels import GossamerError
from .verbs import needs_torch

if TYPE_CHECKING:
    from .training import AttackReport, BlackBox, Dataset, Surrogate, TorchNetwork, TransferReport

Report = Callable[[int, int], None]
EPS = 8 / 255


def attack(
    network: Network | SynapticGraph | str | Path,
    dataset: "Dataset",
    *,
    attack: str = "pgd",
    eps: float = EPS,
    surrogate: "Surrogate | None" = None,
    seed: int = 0,
    progress: Report | None = None,
    **options: Any,
) -> "AttackReport":
    """Attack every sample once, and say how many are still classified correctly.

    Args:
        network: A float32 network with direct input coding or the path of its checkpoint, which the attack knows all
            about; or a graph or the path of one, as it ships, which can only be asked: see `transfer` for more.
        dataset: Images and labels, such as `load_dataset("digits", "test")`.
        attack: One of `gossamer.training.ATTACKS`; on a graph one that needs no gradient: "square".
        eps: Largest change of a pixel in [0, 1]; with norm="l2" of the image.
        surrogate: Derivative of a spike for the attack, instead of the triangle of width 1.
        seed: Of the attack's noise.
        progress: Called with (samples done, samples).
        **options: What the attack takes besides: n_steps and step_size for "pgd", alpha for "rfgsm".
    Raises: GossamerError: GSM-608 for options out of range and for a gradient of a graph, GSM-702 for an unknown
        attack or option, GSM-701 without torch.
    """
    needs_torch("an attack")
    from .training import evaluate_attack

    chosen = _attack_named(attack, options)
    target = _as_model(network)
    return evaluate_attack(
        target, dataset, chosen, seed=seed, surrogate=surrogate, progress=progress, eps=eps, **options
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
        eps, seed, progress, **options: As `attack`.
        surrogate: Derivative of a spike in the sources, instead of the triangle of width 1.
    Raises: GossamerError: As `attack`; GSM-608 without a source.
    """
    needs_torch("an attack")
    from .training import evaluate_transfer

    chosen = _attack_named(attack, options)
    made_on = source_models(sources, surrogate)
    return evaluate_transfer(
        _as_model(target), made_on, dataset, chosen, seed=seed, progress=progress, eps=eps, **options
    )


def source_models(
    sources: Iterable[Network | str | Path], surrogate: "Surrogate | None" = None
) -> "dict[str, TorchNetwork]":
    """Networks to craft images on, by path or name; a second one of a name is called "name#2"."""
    from .training import TorchNetwork

    models: dict[str, TorchNetwork] = {}
    for source in sources:
        name = source.name if isinstance(source, Network) else str(source)
        network = source if isinstance(source, Network) else load_checkpoint(source)
        n = 1 + sum(known == name or known.rpartition("#")[0] == name for known in models)
        models[name if n == 1 else f"{name}#{n}"] = TorchNetwork(network, surrogate=surrogate)
    return models


def _as_model(network: Network | SynapticGraph | str | Path) -> "TorchNetwork | BlackBox":
    from .compiled_model import compiled_model
    from .training import TorchNetwork

    if isinstance(network, SynapticGraph):
        return compiled_model(network)
    if isinstance(network, Network):
        return TorchNetwork(network)
    if file_kind(network) == "graph":
        return compiled_model(load_graph(network))
    return TorchNetwork(load_checkpoint(network))


def _attack_named(name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The attack, which takes these options.

    Raises: GossamerError: GSM-702 if there is none, or if it does not.
    """
    from .training import ATTACKS

    if name not in ATTACKS:
        raise GossamerError("GSM-702", "no such attack", found=repr(name), expected=" or ".join(ATTACKS))
    takes = [p.name for p in signature(ATTACKS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    _check_known(options, [option for option in takes if option not in ("eps", "generator")], of=f"attack {name!r}")
    return ATTACKS[name]


def _check_known(options: Mapping[str, Any], known: Sequence[str], *, of: str) -> None:
    for option in options:
        if option not in known:
            raise GossamerError(
                "GSM-702", "no such option here", where=of, found=option, expected=", ".join(known) or "no options"
            )
