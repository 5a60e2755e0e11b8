"""The five stages, from a network with random weights to a sparse, robust, spiking one.

1 dense: train; 2 prune: choose the weights to keep; 3 finetune: train those; 4 convert: ReLU to spikes; 5 snn:
train the spiking network. Each is a function (network, its table of the recipe, session) -> StageResult and changes
nothing it is given. A recipe may leave stages out: without 1 to 3 a spiking network is trained from scratch.
Source: arXiv 2505.15833, with the conversion of Özdenizci & Legenstein 2024.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import nan
from time import monotonic
from typing import Any

from torch import Tensor

from ..compiler import CompileError, Network, load_checkpoint
from .calibrate import calibrate_thresholds
from .convert import add_biases, reestimate_batch_norm, to_spiking
from .errors import TrainingError
from .firing import firing_rates
from .fit import FitResult, fit
from .models import MODELS
from .progress import Progress
from .pruning import attach_rates, attach_scores, prune_at_random, prune_by_magnitude, prune_like
from .recipe import Convert, Finetune, Fit, Harp, Hydra, Like, Magnitude, Prune, Random, Snn, Stage
from .seeds import seed_of
from .session import Session
from .surrogates import Surrogate
from .torch_network import TorchNetwork
from .validate import log_epoch, validate


@dataclass(frozen=True, kw_only=True, eq=False)
class StageResult:
    """A stage's network; the epoch that was chosen (0: the stage has none) and its validation accuracies."""

    network: Network
    epoch: int
    validation: dict[str, float]


def new_network(session: Session) -> Network:
    """The recipe's model: a checkpoint's, or one with random weights that normalises with the training set's mean and
    deviation per channel.
    """
    recipe, train = session.recipe, session.train
    if recipe.model.checkpoint is not None:
        return _fitting(load_checkpoint(recipe.model.checkpoint), session)
    pixels = train.images().astype("float64")
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    try:
        return MODELS[recipe.model.builder](
            train.shape,
            train.n_classes,
            seed=seed_of(recipe.seed, "weights"),
            mean=mean,
            std=std.clip(1e-3),
            **recipe.model.options(),
        )
    except CompileError as error:
        raise TrainingError(
            "GSM-604",
            f"the model cannot be built for these images: {error.what}",
            where=f"recipe {recipe.name}: model",
            found=f"builder {recipe.model.builder!r} on {'x'.join(map(str, train.shape))}",
            remedy='choose another builder, fewer "A" in channels, or larger images',
        ) from None


def _fitting(network: Network, session: Session) -> Network:
    train = session.train
    found, wanted = (network.input.shape, network[network.output].n_neurons), (train.shape, train.n_classes)
    if found != wanted:
        raise TrainingError(
            "GSM-604",
            "the network to start from was made for other images or classes",
            where=f"recipe {session.recipe.name}: model.checkpoint",
            found=f"{'x'.join(map(str, found[0]))}, {found[1]} outputs",
            expected=f"{'x'.join(map(str, wanted[0]))}, {wanted[1]} classes",
        )
    return network


def train_dense(network: Network, settings: Fit, session: Session) -> StageResult:
    """1. Train every weight."""
    return _fitted(TorchNetwork(network), "dense", settings, session)


def prune(network: Network, settings: Prune, session: Session) -> StageResult:
    """2. Choose the weights to keep."""
    match settings:
        case Hydra() | Harp():
            return _scored(network, settings, session)
        case Magnitude():
            pruned = prune_by_magnitude(network, settings.density, scope=settings.scope, pattern=settings.pattern)
        case Random():
            seed = seed_of(session.recipe.seed, "random mask")
            pruned = prune_at_random(
                network, settings.density, seed=seed, spread=settings.spread, pattern=settings.pattern
            )
        case Like():
            pruned = prune_like(network, load_checkpoint(settings.checkpoint))
    robust = None if session.recipe.dense is None else session.recipe.dense.robust
    score = validate(TorchNetwork(pruned).to(session.device), robust, session)
    log_epoch(session, "prune", 0, {}, score)
    return StageResult(network=pruned, epoch=0, validation=score)


def _scored(network: Network, settings: Hydra | Harp, session: Session) -> StageResult:
    model, rates = TorchNetwork(network), None
    if isinstance(settings, Hydra):
        attach_scores(model, settings.density, settings.pattern)
    else:
        rates = attach_rates(
            model, settings.density, initial=settings.initial, penalty=settings.penalty, pattern=settings.pattern
        )
    model.to(session.device)
    result = fit(model, "prune", settings, session, rates)
    if rates is not None:
        rates.trim()
    return StageResult(network=model.to_network(), epoch=result.epoch, validation=result.validation)


def finetune_sparse(network: Network, settings: Finetune, session: Session) -> StageResult:
    """3. Train the weights that were kept."""
    return _fitted(TorchNetwork(network), "finetune", settings, session)


def convert(network: Network, settings: Convert, session: Session) -> StageResult:
    """4. Calibrate thresholds, convert, and estimate batch norm's statistics anew."""
    drawn = session.batches("convert", 0, settings.batch_size)
    batches = [x for _, x, _, _ in islice(drawn, settings.batches)]
    names = [p.name for p in network.populations if p.kind == "relu"]
    n_measured = len(batches) * len(names) if settings.threshold is None else 0
    tell = _reporter(session, n_measured + len(batches))
    if settings.threshold is None:
        thresholds = calibrate_thresholds(
            network,
            batches,
            n_steps=settings.steps,
            percentile=settings.percentile,
            scale=settings.scale,
            reset=settings.reset,
            leak=settings.leak,
            device=session.device,
            progress=tell(0),
        )
    else:
        thresholds = dict.fromkeys(names, settings.threshold)
    spiking = to_spiking(network, thresholds, n_steps=settings.n_steps, reset=settings.reset, leak=settings.leak)
    model = TorchNetwork(add_biases(spiking) if settings.biases else spiking).to(session.device)
    reestimate_batch_norm(model, batches, progress=tell(n_measured))
    snn, robust = session.recipe.snn, None
    if snn is not None:
        model.surrogate, robust = _surrogate(snn), snn.robust
    score = validate(model, robust, session)
    found = {
        "thresholds": {name: float(f"{threshold:.5g}") for name, threshold in thresholds.items()},
        "activity_before": _activity(TorchNetwork(network).to(session.device), batches),
        "activity": _activity(model, batches),
    }
    log_epoch(session, "convert", 0, found, score)
    return StageResult(network=model.to_network(), epoch=0, validation=score)


def _activity(model: TorchNetwork, batches: Sequence[Tensor]) -> dict[str, float]:
    """{population: share of its neurons that are active in a step}, rounded for the log."""
    return {name: round(firing.rate, 5) for name, firing in firing_rates(model, batches).items()}


def train_spiking(network: Network, settings: Snn, session: Session) -> StageResult:
    """5. Train the spiking network through time."""
    model = TorchNetwork(
        network,
        surrogate=_surrogate(settings),
        detach_reset=settings.detach_reset,
        train_thresholds=settings.train_thresholds,
        low_memory=settings.low_memory,
        compile_neurons=session.recipe.recipe.compile,
    )
    return _fitted(model, "snn", settings, session)


STAGES: dict[Stage, Callable[[Network, Any, Session], StageResult]] = {
    "dense": train_dense,
    "prune": prune,
    "finetune": finetune_sparse,
    "convert": convert,
    "snn": train_spiking,
}


def _fitted(model: TorchNetwork, stage: Stage, settings: Fit, session: Session) -> StageResult:
    model.to(session.device)
    result: FitResult = fit(model, stage, settings, session)
    return StageResult(network=model.to_network(), epoch=result.epoch, validation=result.validation)


def _surrogate(settings: Snn) -> Surrogate:
    return Surrogate(name=settings.surrogate, width=settings.surrogate_width)


def _reporter(session: Session, n_batches: int) -> Callable[[int], Callable[[int, int], None]]:
    """Progress of conversion: for each part, given the batches before it, a callback (done, batches of the part)."""
    started = monotonic()

    def part(n_before: int) -> Callable[[int, int], None]:
        def report(n_done: int, _: int) -> None:
            batch = n_before + n_done
            left = (monotonic() - started) / batch * (n_batches - batch)
            session.report(
                Progress(
                    stage="convert", epoch=1, n_epochs=1, batch=batch, n_batches=n_batches, loss=nan, accuracy=nan,
                    seconds_left=left,
                )
            )  # fmt: skip

        return report

    return part
