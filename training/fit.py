"""The training loop: epochs, the best epoch, saved states."""

import time
from dataclasses import dataclass, field
from math import isfinite, nan

import torch
from torch import Tensor

from ..compiler import Array
from .errors import TrainingError
from .objective import Objective, make_objective
from .optimizer import clamp_thresholds, make_optimizer, set_learning_rate
from .progress import Progress
from .pruning import DIGITS, Rates, rewire, share_to_move, watch_gradients
from .recipe import Finetune, Fit, Rewire
from .resume import TrainingState, load_model_arrays, load_optimizer_arrays, model_arrays, optimizer_arrays
from .seeds import torch_rng
from .session import Session
from .team import Team
from .torch_network import TorchNetwork
from .validate import log_epoch, validate


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """The chosen epoch, from 1, and its validation accuracies: "clean", and "robust" where training is adversarial."""

    epoch: int
    validation: dict[str, float]


@dataclass(kw_only=True)
class Running:
    """Final. Means over the epoch so far."""

    loss_sum: float = 0.0
    n_correct: int = 0
    n_seen: int = 0

    def add(self, loss: float, share_correct: float, n: int) -> None:
        """One batch of n samples."""
        self.loss_sum += loss * n
        self.n_correct += round(share_correct * n)
        self.n_seen += n

    @property
    def loss(self) -> float:
        """Mean loss per sample."""
        return self.loss_sum / self.n_seen if self.n_seen else nan

    @property
    def accuracy(self) -> float:
        """Share of training samples classified correctly."""
        return self.n_correct / self.n_seen if self.n_seen else nan


@dataclass(kw_only=True, eq=False)
class Training:
    """Final. A stage under way: model, position (`epoch` and `batch` come next, from 0) and the best epoch so far.

    rates: where layers' shares are learned.
    """

    stage: str
    settings: Fit
    session: Session
    model: TorchNetwork
    optimizer: torch.optim.Optimizer
    rates: Rates | None = None
    epoch: int = 0
    batch: int = 0
    running: Running = field(default_factory=Running)
    best: dict[str, Array] = field(default_factory=dict)
    best_epoch: int = 0
    best_score: dict[str, float] = field(default_factory=dict)

    @property
    def n_batches(self) -> int:
        """Batches per epoch."""
        return self.session.n_batches(self.settings.batch_size)

    @property
    def n_done(self) -> int:
        """Batches of this stage that lie behind."""
        return self.epoch * self.n_batches + self.batch

    @property
    def done(self) -> float:
        """Share of this stage's batches that lie behind, in [0, 1)."""
        return self.n_done / (self.settings.epochs * self.n_batches)

    def save(self) -> None:
        """Save the state, if the session keeps one: the first process's, which is everyone's."""
        if self.session.store is not None and self.session.team.is_first:
            self.session.store.save(
                TrainingState(
                    stage=self.stage,
                    epoch=self.epoch,
                    batch=self.batch,
                    loss_sum=self.running.loss_sum,
                    n_correct=self.running.n_correct,
                    n_seen=self.running.n_seen,
                    model=model_arrays(self.model),
                    optimizer=optimizer_arrays(self.optimizer),
                    best=self.best,
                    best_epoch=self.best_epoch,
                    best_score=self.best_score,
                    history=self.session.history,
                    scaling=self.session.team.scaling(),
                )
            )

    def restore(self, state: TrainingState) -> None:
        """Go to where a saved state stands."""
        load_model_arrays(self.model, state.model)
        load_optimizer_arrays(self.optimizer, state.optimizer)
        self.session.team.restore_scaling(state.scaling)
        self.epoch, self.batch = state.epoch, state.batch
        self.running = Running(loss_sum=state.loss_sum, n_correct=state.n_correct, n_seen=state.n_seen)
        self.best, self.best_epoch, self.best_score = state.best, state.best_epoch, state.best_score


def fit(model: TorchNetwork, stage: str, settings: Fit, session: Session, rates: Rates | None = None) -> FitResult:
    """Train what is trainable of a model, and leave it as it was at the end of its best epoch.

    Best is the highest robust accuracy on the validation set, or the highest mean of robust and clean, as the recipe
    says (clean, where training is not adversarial; ties: clean, then the later epoch); where layers' shares are
    learned, among the epochs that keep few enough weights, if there is one. Goes on from the session's saved state if
    that state is of this stage.

    Args:
        model: Changed in place.
        stage: Name of the stage: part of every random draw.
        settings: The stage's table in the recipe.
        session: Data, progress, state.
        rates: The model's, if layers' shares are learned: their excess is added to the loss.
    Raises: TrainingError: GSM-607 if the loss is not finite; GSM-608 if batches are too small for so many processes.
    """
    _check_shares(settings, session)
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], settings)
    training = Training(stage=stage, settings=settings, session=session, model=model, optimizer=optimizer, rates=rates)
    state = session.store.take(stage) if session.store else None
    if state is not None:
        training.restore(state)
    objective, started, n_before = make_objective(settings.robust), time.monotonic(), training.n_done
    while training.epoch < settings.epochs:
        model.train()
        drawn = session.batches(
            stage, training.epoch, settings.batch_size, first=training.batch, cutout=settings.cutout, shared=True
        )
        for _, x, y, generator in drawn:
            _step(training, objective, x, y, generator)
            training.batch += 1
            if session.store is not None and session.store.is_due and training.batch < training.n_batches:
                training.save()
            _report(training, (time.monotonic() - started) / (training.n_done - n_before))
        _end_epoch(training)
        training.save()
    load_model_arrays(model, training.best)
    return FitResult(epoch=training.best_epoch, validation=training.best_score)


def _step(training: Training, objective: Objective, x: Tensor, y: Tensor, generator: torch.Generator) -> None:
    """One batch, or this process's share of it."""
    settings, optimizer, team, rewiring = (
        training.settings,
        training.optimizer,
        training.session.team,
        _rewiring(training),
    )
    set_learning_rate(optimizer, settings, training.done)
    watch_gradients(training.model, rewiring is not None)
    with team.autocast():
        loss, logits = objective(training.model, x, y, generator)
    if training.rates is not None:
        loss = loss + training.rates()
    optimizer.zero_grad(set_to_none=True)
    team.backward(loss)
    seen = torch.stack([loss.detach(), (logits.detach().argmax(1) == y).float().mean()])
    n_samples = team.average([seen, *_agreed(training.model, team)], len(y))
    value, share_correct = seen.tolist()  # the one time in a step that the processor waits for the device
    if not isfinite(value):
        raise TrainingError(
            "GSM-607",
            "the loss is not finite: training has diverged",
            where=f"stage {training.stage}, epoch {training.epoch + 1}, batch {training.batch + 1}",
            found=value,
            expected="a finite loss",
            remedy=f"lower lr in [{training.stage}], or beta in [{training.stage}.robust]",
        )
    training.running.add(value, share_correct, n_samples)
    team.step(optimizer)
    clamp_thresholds(training.model, settings)
    if rewiring is not None:
        _rewire(training, rewiring, generator, len(y))


def _agreed(model: TorchNetwork, team: Team) -> list[Tensor]:
    """What every process has its own of after a backward pass, and all need the mean of."""
    if team.size == 1:
        return []
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return gradients + [statistic for norm in model.batch_norms() for statistic in (norm.mean, norm.variance)]


def _rewire(training: Training, table: Rewire, generator: torch.Generator, n_samples: int) -> None:
    """Move masks, the same ones in every process."""
    session, share = training.session, share_to_move(table.fraction, training.done, table.until)
    if session.team.size > 1:  # each has drawn other noise
        generator = torch_rng(session.recipe.seed, training.stage, "rewire", training.epoch, training.batch)

    def average(gradient: Tensor) -> Tensor:
        session.team.average([gradient], n_samples)
        return gradient

    rewire(training.model, training.optimizer, share, table.grow, generator, average)
    watch_gradients(training.model, False)


def _check_shares(settings: Fit, session: Session) -> None:
    smallest, size = session.train.n_samples // session.n_batches(settings.batch_size), session.team.size
    if size > 1 and smallest < 2 * size:
        raise TrainingError(
            "GSM-608",
            "batches are too small to be divided",
            where="batch_size",
            found=f"{smallest} images, {size} processes",
            expected="two images for each process",
            remedy="take a larger batch_size, or fewer devices",
        )


def _rewiring(training: Training) -> Rewire | None:
    """The recipe's table, if masks move after this batch."""
    settings = training.settings
    table = settings.rewire if isinstance(settings, Finetune) else None
    is_due = table is not None and (training.n_done + 1) % table.every == 0 and training.done < table.until
    return table if is_due else None


def _end_epoch(training: Training) -> None:
    """Validate, remember the best epoch, write the log."""
    session, running = training.session, training.running
    training.epoch, training.batch, training.running = training.epoch + 1, 0, Running()
    score = session.team.first(lambda: validate(training.model, training.settings.robust, session))
    if training.rates is not None:
        score["excess"] = max(0.0, round(training.rates.excess().item(), DIGITS))
        training.rates.end_epoch()
    if not training.best or _rank(score, session) >= _rank(training.best_score, session):
        training.best, training.best_epoch, training.best_score = model_arrays(training.model), training.epoch, score
    log_epoch(session, training.stage, training.epoch, {"loss": running.loss, "accuracy": running.accuracy}, score)


def _report(training: Training, seconds_per_batch: float) -> None:
    n_epochs, n_batches = training.settings.epochs, training.n_batches
    training.session.report(
        Progress(
            stage=training.stage,
            epoch=training.epoch + 1,
            n_epochs=n_epochs,
            batch=training.batch,
            n_batches=n_batches,
            loss=training.running.loss,
            accuracy=training.running.accuracy,
            seconds_left=seconds_per_batch * (n_epochs * n_batches - training.n_done),
        )
    )


def _rank(score: dict[str, float], session: Session) -> tuple[bool, float, float]:
    """For comparing epochs."""
    clean = score["clean"]
    robust = score.get("robust", clean)
    first = robust + clean if session.recipe.validation.choose_by == "mean" else robust
    return not score.get("excess", 0.0), first, clean
