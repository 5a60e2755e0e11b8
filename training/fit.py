"""The training loop: epochs, validation, the best epoch, saved states."""

import json
import time
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from torch import Tensor

from ..compiler import Array, write_text
from .attacks import evaluate_attack, pgd
from .errors import TrainingError
from .evaluate import accuracy
from .objective import make_objective
from .optimizer import clamp_thresholds, make_optimizer, set_learning_rate
from .progress import Progress
from .recipe import Fit, Trades
from .resume import (
    TrainingState,
    load_model_arrays,
    load_optimizer_arrays,
    model_arrays,
    optimizer_arrays,
)
from .session import Session
from .torch_network import TorchNetwork


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """The chosen epoch, from 1, and its validation accuracies: "clean", and "robust" where training is adversarial."""

    epoch: int
    validation: dict[str, float]


@dataclass(kw_only=True)
class Running:
    """Means over the epoch so far."""

    loss_sum: float = 0.0
    n_correct: int = 0
    n_seen: int = 0

    def add(self, loss: float, logits: Tensor, y: Tensor) -> None:
        """One batch."""
        self.loss_sum += loss * len(y)
        self.n_correct += int((logits.detach().argmax(1) == y).sum())
        self.n_seen += len(y)

    @property
    def loss(self) -> float:
        """Mean loss per sample."""
        return self.loss_sum / self.n_seen if self.n_seen else nan

    @property
    def accuracy(self) -> float:
        """Share of training samples classified correctly."""
        return self.n_correct / self.n_seen if self.n_seen else nan


def fit(model: TorchNetwork, stage: str, settings: Fit, session: Session) -> FitResult:
    """Train what is trainable of a model, and leave it as it was at the end of its best epoch.

    Best is the highest robust accuracy on the validation set, or the highest mean of robust and clean, as the recipe
    says (clean, where training is not adversarial; ties: clean, then the later epoch). Goes on from the session's
    saved state if that state is of this stage.

    Args:
        model: Changed in place.
        stage: Name of the stage: part of every random draw.
        settings: The stage's table in the recipe.
        session: Data, progress, state.
    Raises: TrainingError: GSM-607 if the loss is not finite.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(trained, settings)
    objective = make_objective(settings.trades)
    best: dict[str, Array] = {}
    best_epoch, best_score, first_epoch, first_batch, running = 0, dict[str, float](), 0, 0, Running()
    state = session.store.take(stage) if session.store else None
    if state is not None:
        load_model_arrays(model, state.model)
        load_optimizer_arrays(optimizer, state.optimizer)
        best, best_epoch, best_score = state.best, state.best_epoch, state.best_score
        first_epoch, first_batch = state.epoch, state.batch
        running = Running(loss_sum=state.loss_sum, n_correct=state.n_correct, n_seen=state.n_seen)
    n_batches = session.n_batches(settings.batch_size)
    n_before, started = first_epoch * n_batches + first_batch, time.monotonic()

    def save(epoch: int, batch: int) -> None:
        if session.store is not None:
            session.store.save(
                TrainingState(
                    stage=stage, epoch=epoch, batch=batch, loss_sum=running.loss_sum, n_correct=running.n_correct,
                    n_seen=running.n_seen, model=model_arrays(model), optimizer=optimizer_arrays(optimizer), best=best,
                    best_epoch=best_epoch, best_score=best_score, history=session.history,
                )
            )  # fmt: skip

    for epoch in range(first_epoch, settings.epochs):
        model.train()
        for batch, x, y, generator in session.batches(stage, epoch, settings.batch_size, first=first_batch):
            set_learning_rate(optimizer, settings, (epoch * n_batches + batch) / (settings.epochs * n_batches))
            loss, logits = objective(model, x, y, generator)
            running.add(_finite(loss, stage, epoch, batch), logits, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            clamp_thresholds(model, settings)
            if session.store is not None and session.store.is_due and batch + 1 < n_batches:
                save(epoch, batch + 1)
            n_done = epoch * n_batches + batch + 1
            per_batch = (time.monotonic() - started) / (n_done - n_before)
            session.report(
                Progress(
                    stage=stage, epoch=epoch + 1, n_epochs=settings.epochs, batch=batch + 1, n_batches=n_batches,
                    loss=running.loss, accuracy=running.accuracy,
                    seconds_left=per_batch * (settings.epochs * n_batches - n_done),
                )
            )  # fmt: skip
        first_batch = 0
        score = validate(model, settings.trades, session)
        if _rank(score, session) >= _rank(best_score, session):
            best, best_epoch, best_score = model_arrays(model), epoch + 1, score
        log_epoch(session, stage, epoch + 1, {"loss": running.loss, "accuracy": running.accuracy}, score)
        running = Running()
        save(epoch + 1, 0)
    load_model_arrays(model, best)
    return FitResult(epoch=best_epoch, validation=best_score)


def validate(model: TorchNetwork, adversary: Trades | None, session: Session) -> dict[str, float]:
    """Accuracies on the validation set: "clean"; with an adversary also "robust", under PGD of the same eps."""
    score = {"clean": accuracy(model, session.validation)}
    if adversary is not None:
        settings = session.recipe.validation
        subset = session.validation.limit(settings.limit) if settings.limit else session.validation
        attacked = evaluate_attack(
            model, subset, pgd, seed=session.recipe.seed, eps=adversary.eps, n_steps=settings.attack_steps
        )
        score["robust"] = attacked.adversarial_accuracy
    return score


def log_epoch(
    session: Session, stage: str, epoch: int, training: dict[str, float], validation: dict[str, float]
) -> None:
    """Add a record to the history, and rewrite the log file with it."""
    record: dict[str, Any] = {"stage": stage, "epoch": epoch, **training}
    session.history.append(record | {f"validation_{name}": value for name, value in validation.items()})
    if session.log_path is not None:
        write_text(session.log_path, "".join(f"{json.dumps(line, sort_keys=True)}\n" for line in session.history))


def _finite(loss: Tensor, stage: str, epoch: int, batch: int) -> float:
    value = loss.item()
    if not isfinite(value):
        raise TrainingError(
            "GSM-607",
            "the loss is not finite: training has diverged",
            where=f"stage {stage}, epoch {epoch + 1}, batch {batch + 1}",
            found=value,
            expected="a finite loss",
            remedy=f"lower lr in [{stage}], or beta in [{stage}.trades]",
        )
    return value


def _rank(score: dict[str, float], session: Session) -> tuple[float, float]:
    """For comparing epochs."""
    clean = score.get("clean", -1.0)
    robust = score.get("robust", clean)
    return (robust + clean if session.recipe.validation.choose_by == "mean" else robust), clean
