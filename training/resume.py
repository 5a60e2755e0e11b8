"""The state of an unfinished run, saved so that it can go on after being killed at any moment.

Data order, augmentation and attack noise are functions of (seed, stage, epoch, batch), so the state is what training
changes and nothing else: parameters, optimizer, the best epoch so far, the log. The file is replaced atomically.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..compiler import Array, CompileError, read_container, write_container
from .errors import TrainingError
from .torch_maps import to_array

STATE_VERSION = 1
Fingerprint = dict[str, str]


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingState:
    """Where a stage stands.

    epoch, batch: the next batch to train on, from 0. loss_sum, n_correct, n_seen: of this epoch so far.
    model, optimizer, best: arrays; best is the model's at the end of the best epoch, best_score its validation
    accuracies. history: one record per finished epoch, of all stages so far. scaling: of the loss, in float16.
    """

    stage: str
    epoch: int
    batch: int
    loss_sum: float
    n_correct: int
    n_seen: int
    model: dict[str, Array]
    optimizer: dict[str, Array]
    best: dict[str, Array]
    best_epoch: int
    best_score: dict[str, float]
    history: list[dict[str, Any]] = field(default_factory=list)
    scaling: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class StateStore:
    """Final. Where a run keeps its state, and how often.

    fingerprint: what the run depends on: recipe, data, versions. every_s: seconds between two saves in an epoch.
    pending: the state that a resumed run starts from; its stage takes it.
    """

    path: Path
    fingerprint: Fingerprint
    every_s: float = 30.0
    pending: TrainingState | None = None
    saved_at: float = field(default_factory=time.monotonic)

    def take(self, stage: str) -> TrainingState | None:
        """The state to go on from, if this is the stage that was interrupted."""
        if self.pending is None or self.pending.stage != stage:
            return None
        state, self.pending = self.pending, None
        return state

    @property
    def is_due(self) -> bool:
        """True if the last save is long enough ago."""
        return time.monotonic() - self.saved_at >= self.every_s

    def save(self, state: TrainingState) -> None:
        """Replace the file.

        Raises: CompileError: GSM-106 if it cannot be written.
        """
        save_state(self.path, state, self.fingerprint)
        self.saved_at = time.monotonic()


def save_state(path: Path, state: TrainingState, fingerprint: Fingerprint) -> None:
    """Write a state atomically."""
    header = {
        name: getattr(state, name)
        for name in (
            "stage", "epoch", "batch", "loss_sum", "n_correct", "n_seen", "best_epoch", "best_score", "history",
            "scaling",
        )
    }  # fmt: skip
    arrays = {f"{group}/{k}": a for group in ("model", "optimizer", "best") for k, a in getattr(state, group).items()}
    write_container(path, "training-state", STATE_VERSION, {"state": header, "fingerprint": fingerprint}, arrays)


def load_state(path: Path, fingerprint: Fingerprint) -> TrainingState:
    """Read a state.

    Raises:
        TrainingError: GSM-606 if it belongs to another recipe, other data or another version.
        CompileError: GSM-101 ... GSM-104 for a file that is missing, foreign, newer or damaged.
    """
    header, arrays, _ = read_container(path, "training-state", STATE_VERSION)
    check_fingerprint(header.get("fingerprint"), fingerprint, where=str(path))
    groups: dict[str, Any] = {"model": {}, "optimizer": {}, "best": {}}
    try:
        for key, array in arrays.items():
            group, name = key.split("/", 1)
            groups[group][name] = array
        return TrainingState(**header["state"], **groups)
    except (KeyError, TypeError, ValueError) as error:
        raise CompileError("GSM-105", "not a training state", where=str(path), found=error) from None


def check_fingerprint(found: object, expected: Fingerprint, *, where: str) -> None:
    """Refuse (GSM-606) what another run has left."""
    found = found if isinstance(found, dict) else {}
    for key, value in expected.items():
        if found.get(key) != value:
            raise TrainingError(
                "GSM-606",
                f"left by a run with another {key}",
                where=where,
                found=_short(found.get(key, "nothing")),
                expected=_short(value),
                remedy="resume with what the run began with, or start anew in another folder",
            )


def model_arrays(model: torch.nn.Module) -> dict[str, Array]:
    """Parameters and buffers, copied."""
    return {name: to_array(tensor) for name, tensor in model.state_dict().items()}


def load_model_arrays(model: torch.nn.Module, arrays: dict[str, Array]) -> None:
    """Put parameters and buffers back."""
    model.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, Array]:
    """Momenta and step counts, as "parameter number/name"."""
    return {
        f"{i}/{name}": to_array(value)
        for i, slots in optimizer.state_dict()["state"].items()
        for name, value in slots.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimizer_arrays(optimizer: torch.optim.Optimizer, arrays: dict[str, Array]) -> None:
    """Put momenta and step counts back."""
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        number, name = key.split("/")
        slots.setdefault(int(number), {})[name] = torch.tensor(array)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _short(text: object) -> str:
    return str(text) if len(str(text)) <= 24 else f"{str(text)[:16]}..."
