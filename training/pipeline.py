"""Run a recipe: stage after stage, a checkpoint for each, resumable at any moment."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import torch

from ..compiler import Network, container_identity, load_checkpoint, save_checkpoint
from .data import Dataset, load_dataset, split_validation
from .errors import TrainingError
from .freed_memory import kept_memory, returned_memory
from .launch import Launcher, with_team
from .progress import ProgressCallback
from .recipe import Fit, Recipe, Stage
from .resume import Fingerprint, StateStore, TrainingState, check_fingerprint, load_state
from .session import Session
from .stages import STAGES, new_network
from .team import Team

STATE_FILE = "training-state.safetensors"
LOG_FILE = "history.jsonl"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """checkpoints: {stage: file}. history: one record per epoch and stage. final: the file of the last stage run.

    rank: of the process that returns this, among those that trained together; 0 has written the files.
    """

    checkpoints: dict[str, Path]
    history: list[dict[str, Any]]
    final: Path
    rank: int = 0


def checkpoint_path(out_dir: Path, recipe: Recipe, stage: Stage) -> Path:
    """The file that a stage writes."""
    names: dict[Stage, str] = {
        "dense": "1-dense",
        "prune": "2-pruned",
        "finetune": "3-sparse",
        "convert": "4-converted",
        "snn": "5-robust-snn" if recipe.snn is not None and recipe.snn.robust is not None else "5-snn",
    }
    return out_dir / f"{names[stage]}.safetensors"


def run_recipe(
    recipe: Recipe,
    *,
    out_dir: str | Path,
    dataset_root: str | Path | None = None,
    resume: bool = False,
    stages: Sequence[Stage] | None = None,
    progress: ProgressCallback | None = None,
    save_every_s: float = 30.0,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    launcher: Launcher = "spawn",
) -> RunResult:
    """Train as a recipe says.

    Equal recipes on equal data write bit-identical checkpoints on one machine, however often a run is killed and
    resumed. For that, torch runs with the recipe's number of threads meanwhile, and nothing draws from global random
    state. On other devices than the CPU equality is not promised; nor is it with another number of processes.

    With several devices a process for each takes its share of every batch; see docs/how-to/train-on-gpus.md.

    Args:
        recipe: What to do.
        out_dir: Where checkpoints, the log (history.jsonl) and, while unfinished, the state go; made if missing.
        dataset_root: The folder that holds the data sets; see `load_dataset`.
        resume: True goes on with an unfinished run, keeps finished stages, and starts if there is nothing yet.
            False makes a finished run of the same recipe and data again, and refuses to begin over any other.
        stages: Run only these; the first starts from the checkpoint of the stage before it. All if None.
        progress: Told after every batch, by the first process; with several and "spawn" it is pickled.
        save_every_s: Seconds between two saved states within an epoch; each epoch's end saves one too.
        device: "cpu", "cuda", ...
        devices, nodes: Processes on each machine, each with a device, and machines. Through lightning-fabric.
        launcher: How several processes start: see `with_team`.
    Returns: The files.
    Raises: TrainingError: GSM-601 ... 605 for data, GSM-606 for another run's files or a missing checkpoint, GSM-607
        if training diverges, GSM-608 for an unknown stage or a device that is not there, GSM-609 if one of several
        processes dies, GSM-701 without lightning-fabric where it is needed.
    """
    chosen = _in_order(stages, recipe)
    root = None if dataset_root is None else Path(dataset_root)
    work = partial(_run, recipe, Path(out_dir), root, chosen, progress, save_every_s, resume)
    return with_team(work, recipe, device=device, devices=devices, nodes=nodes, launcher=launcher)


def _run(
    recipe: Recipe, out_dir: Path, root: Path | None, chosen: Sequence[Stage], progress: ProgressCallback | None,
    save_every_s: float, resume: bool, team: Team,
) -> RunResult:  # fmt: skip
    """In one process of a team."""
    train, validation = _data(recipe, root)
    fingerprint = _fingerprint(recipe, train, validation)
    check_fingerprint(fingerprint, team.first(lambda: fingerprint), where=f"process {team.rank} of {team.size}")
    store = StateStore(path=out_dir / STATE_FILE, fingerprint=fingerprint, every_s=save_every_s)
    session = Session(
        recipe=recipe, train=train, validation=validation, progress=progress if team.is_first else None, store=store,
        log_path=out_dir / LOG_FILE if team.is_first else None, team=team,
    )  # fmt: skip

    def begin() -> TrainingState | None:
        out_dir.mkdir(parents=True, exist_ok=True)
        _begin(session, store, out_dir, chosen, resume=resume)
        return store.pending

    store.pending = team.first(begin)
    is_scarce = recipe.snn is not None and recipe.snn.low_memory
    with limited_threads(recipe.recipe.threads), returned_memory() if is_scarce else kept_memory():
        for stage in chosen:
            _run_stage(stage, session, out_dir, fingerprint, keep=resume)
    if store.pending is None and team.is_first:  # else the state is of a stage that was not asked for
        store.path.unlink(missing_ok=True)
    checkpoints: dict[str, Path] = {stage: checkpoint_path(out_dir, recipe, stage) for stage in chosen}
    return RunResult(checkpoints=checkpoints, history=session.history, final=checkpoints[chosen[-1]], rank=team.rank)


def _run_stage(stage: Stage, session: Session, out_dir: Path, fingerprint: Fingerprint, *, keep: bool) -> None:
    recipe, team = session.recipe, session.team
    path = checkpoint_path(out_dir, recipe, stage)
    if keep and team.first(lambda: _is_there(path, fingerprint)):
        if session.store is not None:
            session.store.take(stage)  # killed between its checkpoint and what comes next: the state is not needed
        return
    place = recipe.stages.index(stage)
    before = recipe.stages[place - 1] if place else None
    parent: str | None = None
    if before is None:
        network = new_network(session)
    else:
        parent_path = checkpoint_path(out_dir, recipe, before)
        network = team.first(lambda: _load(parent_path, fingerprint))
        parent = network.metadata["sha256"]
    settings = getattr(recipe, stage)
    if isinstance(settings, Fit):
        result = STAGES[stage](network, settings, session)
    else:
        result = team.first(lambda: STAGES[stage](network, settings, session))
    record = {
        "stage": stage,
        "epoch": result.epoch,
        "validation": result.validation,
        "recipe": recipe.to_dict(),
        "seed": recipe.seed,
        "dataset": recipe.data.name,
        "parent": parent,
        "fingerprint": fingerprint,
        "processes": team.size,
    }
    team.first(lambda: save_checkpoint(replace(result.network, metadata={"training": record}), path))


def _is_there(path: Path, fingerprint: Fingerprint) -> bool:
    """False without a checkpoint; one of another run is refused."""
    return path.exists() and _load(path, fingerprint) is not None


def _begin(session: Session, store: StateStore, out_dir: Path, chosen: Sequence[Stage], *, resume: bool) -> None:
    """Take up what an earlier run has left, or clear it away."""
    for pattern in (".*.safetensors.*.tmp", f".{LOG_FILE}.*.tmp"):
        for half_written in out_dir.glob(pattern):  # by a run that was killed
            half_written.unlink(missing_ok=True)
    paths = {stage: checkpoint_path(out_dir, session.recipe, stage) for stage in chosen}
    again: set[str] = set(chosen)
    log = _read_log(out_dir / LOG_FILE)
    if resume:
        again = {stage for stage, path in paths.items() if not path.exists()}
        if store.path.exists():
            store.pending = load_state(store.path, store.fingerprint)
            log = store.pending.history
            again.discard(store.pending.stage)
    elif store.path.exists():
        raise TrainingError(
            "GSM-606",
            "an unfinished run lies in the output folder",
            where=str(store.path),
            remedy="go on with --resume, choose another --out, or delete the file",
        )
    else:
        for stage in session.recipe.stages:
            path = checkpoint_path(out_dir, session.recipe, stage)
            if path.exists():
                _load(path, store.fingerprint)  # refuses what another run has made
        for path in paths.values():
            path.unlink(missing_ok=True)
    session.history.extend(line for line in log if line.get("stage") not in again)


def _load(path: Path, fingerprint: Fingerprint) -> Network:
    if not path.exists():
        raise TrainingError(
            "GSM-606",
            "the checkpoint of the stage before is missing",
            where=str(path),
            remedy="run that stage first, or all of them",
        )
    network = load_checkpoint(path)
    record = network.metadata.get("training")
    check_fingerprint(record.get("fingerprint") if isinstance(record, dict) else None, fingerprint, where=str(path))
    return network


def _read_log(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise TrainingError("GSM-606", "the log is damaged", where=str(path), found=error, remedy="delete it") from None


def _data(recipe: Recipe, root: Path | None) -> tuple[Dataset, Dataset]:
    dataset = load_dataset(recipe.data.name, "train", root=root)
    smallest = min(dataset.shape[1:])
    if recipe.data.augment != "none" and recipe.data.pad >= smallest:
        raise TrainingError(
            "GSM-604",
            "crops could hold nothing of an image",
            where=f"recipe {recipe.name}: data.pad",
            found=recipe.data.pad,
            expected=f"< {smallest} pixels",
        )
    if recipe.data.limit is not None:
        dataset = dataset.limit(recipe.data.limit)
    return split_validation(dataset, recipe.validation.fraction, recipe.seed)


def _fingerprint(recipe: Recipe, train: Dataset, validation: Dataset) -> Fingerprint:
    data = hashlib.sha256()
    for path in recipe.files:
        data.update(container_identity(path)[1].encode())
    for part in (train.x, train.y, validation.x, validation.y):
        data.update(part.tobytes())
    return {
        "recipe": recipe.sha256(),
        "data": data.hexdigest(),
        "version of gossamer": version("gossamer"),
        "version of torch": torch.__version__,
    }


def _in_order(stages: Sequence[Stage] | None, recipe: Recipe) -> list[Stage]:
    if stages is None:
        return recipe.stages
    unknown = [s for s in stages if s not in recipe.stages]
    if unknown or not stages:
        found = unknown[0] if unknown else "none"
        what = "the recipe has no such stage" if found in STAGES else "unknown stage"
        raise TrainingError("GSM-608", what, found=found, expected=", ".join(recipe.stages))
    return [stage for stage in recipe.stages if stage in stages]


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """PyTorch and Numba with so many threads; sums of PyTorch's depend on it, so it is the recipe that says."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(n)
    numba.set_num_threads(min(n, before[1]))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
