"""The five stages, from a network with random weights to a sparse, robust, spiking one.

1 dense: train; 2 prune: choose the weights to keep; 3 finetune: train those; 4 convert: ReLU to spikes; 5 snn:
fine-tune the spiking network. Each is a function (network, session) -> StageResult and changes nothing it is given.
Source: arXiv 2505.15833, with the conversion of Özdenizci & Legenstein 2024.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from math import nan
from time import monotonic
from typing import Literal

from ..compiler import CompileError, Network
from .calibrate import calibrate_thresholds
from .convert import reestimate_batch_norm, to_spiking
from .errors import TrainingError
from .fit import FitResult, fit
from .models import MODELS
from .progress import Progress
from .pruning import attach_scores, prune_by_magnitude
from .recipe import Hydra, Recipe
from .seeds import seed_of
from .session import Session
from .surrogates import Surrogate
from .torch_network import TorchNetwork
from .validate import log_epoch, validate

Stage = Literal["dense", "prune", "finetune", "convert", "snn"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StageResult:
    """A stage's network; the epoch that was chosen (0: the stage has none) and its validation accuracies."""

    network: Network
    epoch: int
    validation: dict[str, float]


def new_network(session: Session) -> Network:
    """The recipe's model with random weights, normalising with the training set's mean and deviation per channel."""
    recipe, train = session.recipe, session.train
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


def train_dense(network: Network, session: Session) -> StageResult:
    """1. Train every weight."""
    return _fitted(TorchNetwork(network), "dense", session)


def prune(network: Network, session: Session) -> StageResult:
    """2. Choose the weights to keep: by trained scores (HYDRA), or by magnitude."""
    settings = session.recipe.prune
    if isinstance(settings, Hydra):
        model = TorchNetwork(network)
        attach_scores(model, settings.density)
        return _fitted(model, "prune", session)
    pruned = prune_by_magnitude(network, settings.density, scope=settings.scope)
    score = validate(TorchNetwork(pruned).to(session.device), session.recipe.dense.trades, session)
    log_epoch(session, "prune", 0, {}, score)
    return StageResult(network=pruned, epoch=0, validation=score)


def finetune_sparse(network: Network, session: Session) -> StageResult:
    """3. Train the weights that were kept."""
    return _fitted(TorchNetwork(network), "finetune", session)


def convert(network: Network, session: Session) -> StageResult:
    """4. Calibrate thresholds, convert, and estimate batch norm's statistics anew."""
    settings, recipe = session.recipe.convert, session.recipe
    drawn = session.batches("convert", 0, settings.batch_size)
    batches = [x for _, x, _, _ in islice(drawn, settings.batches)]
    n_measured = len(batches) * sum(p.kind == "relu" for p in network.populations)
    tell = _reporter(session, n_measured + len(batches))
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
    spiking = to_spiking(network, thresholds, n_steps=settings.n_steps, reset=settings.reset, leak=settings.leak)
    model = TorchNetwork(spiking, surrogate=_surrogate(recipe)).to(session.device)
    reestimate_batch_norm(model, batches, progress=tell(n_measured))
    score = validate(model, recipe.snn.trades, session)
    log_epoch(session, "convert", 0, {}, score)
    return StageResult(network=model.to_network(), epoch=0, validation=score)


def finetune_spiking(network: Network, session: Session) -> StageResult:
    """5. Train the spiking network through time; masks stay as they are."""
    settings = session.recipe.snn
    model = TorchNetwork(
        network,
        surrogate=_surrogate(session.recipe),
        detach_reset=settings.detach_reset,
        train_thresholds=settings.train_thresholds,
    )
    return _fitted(model, "snn", session)


STAGES: dict[Stage, Callable[[Network, Session], StageResult]] = {
    "dense": train_dense,
    "prune": prune,
    "finetune": finetune_sparse,
    "convert": convert,
    "snn": finetune_spiking,
}


def _fitted(model: TorchNetwork, stage: Stage, session: Session) -> StageResult:
    model.to(session.device)
    result: FitResult = fit(model, stage, getattr(session.recipe, stage), session)
    return StageResult(network=model.to_network(), epoch=result.epoch, validation=result.validation)


def _surrogate(recipe: Recipe) -> Surrogate:
    return Surrogate(name=recipe.snn.surrogate, width=recipe.snn.surrogate_width)


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
