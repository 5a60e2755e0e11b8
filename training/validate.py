"""What a stage's network does on the validation set, and the log of it."""

import json
from collections.abc import Mapping
from typing import Any

from ..compiler import write_text
from .attacks import evaluate_attack, pgd
from .evaluate import accuracy
from .recipe import Robust
from .session import Session
from .torch_network import TorchNetwork


def validate(model: TorchNetwork, adversary: Robust | None, session: Session) -> dict[str, float]:
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
    session: Session, stage: str, epoch: int, training: Mapping[str, Any], validation: dict[str, float]
) -> None:
    """Add a record to the history, and rewrite the log file with it."""
    record: dict[str, Any] = {"stage": stage, "epoch": epoch, **training}
    session.history.append(record | {f"validation_{name}": value for name, value in validation.items()})
    if session.log_path is not None:
        write_text(session.log_path, "".join(f"{json.dumps(line, sort_keys=True)}\n" for line in session.history))
