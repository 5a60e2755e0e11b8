"""Start the processes that train one network together: one here, or several through lightning-fabric."""

import logging
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import torch
from torch.multiprocessing.spawn import ProcessException

from ..compiler import GossamerError
from .data.optional import import_optional
from .errors import TrainingError
from .recipe import Recipe
from .team import Team

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

T = TypeVar("T")
Launcher = Literal["spawn", "command"]
RESULT = "result"

for _name in ("distributed", "rank_zero"):  # training prints nothing: not which process has started, either
    logging.getLogger(f"lightning_fabric.utilities.{_name}").setLevel(logging.WARNING)


def with_team(
    work: Callable[[Team], T], recipe: Recipe, *, device: str, devices: int, nodes: int, launcher: Launcher
) -> T:
    """Run `work` in every process of a team; what it returns in the first one (with "command": in this one).

    lightning-fabric is imported for several processes or mixed precision only.

    Args:
        work: For "spawn" it and what it returns are pickled.
        recipe: Says the precision.
        device: "cpu", "cuda", ...; without a number if there are several.
        devices: Processes on each machine, with a device each; on a CPU they share its cores.
        nodes: Machines.
        launcher: "spawn" starts as many processes as there are devices, which import the main module anew: what it
            does must be guarded by `if __name__ == "__main__"`. "command" runs this process's own command again for
            each device but the first; under torchrun or SLURM, whose processes are there already, it runs nothing.
    Raises: TrainingError: GSM-608 for devices that are not there, or a precision that they have not; GSM-609 if one of
        several processes dies; GSM-701 without lightning-fabric. And whatever `work` raises.
    """
    precision = recipe.recipe.precision
    for name, n in (("devices", devices), ("nodes", nodes)):
        if n < 1:
            raise TrainingError("GSM-608", "out of range", where=name, found=n, expected=">= 1")
    if precision == "16" and torch.device(device).type == "cpu":
        raise TrainingError(
            "GSM-608", "a CPU does not train in float16", where=f"recipe {recipe.name}: recipe.precision", found="'16'",
            expected="'32' or 'bf16'; '16' with --device cuda",
        )  # fmt: skip
    if devices * nodes == 1:
        here = usable_device(device)
        return work(Team(device=here, precision=_mixed(precision, here.type)))
    if nodes > 1 and launcher == "spawn":
        raise TrainingError(
            "GSM-608", "processes on other machines cannot be started from here", where="nodes", found=nodes,
            remedy='run the command on every machine: gossamer train, or launcher="command"',
        )  # fmt: skip
    fabric = _fabric(device, devices, nodes, strategy="ddp" if launcher == "command" else "ddp_spawn")
    if launcher == "command":
        return _as_one_of_many(fabric, work, precision)
    return _in_spawned(fabric, work, precision)


def usable_device(name: str) -> torch.device:
    """The device of that name.

    Raises: TrainingError: GSM-608 if torch cannot compute there.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise _no_device(name, error) from None
    return device


def usable_devices() -> list[str]:
    """What torch sees on this machine: "cpu", and every GPU with its name."""
    devices = ["cpu"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])


def _no_device(name: str, error: Exception) -> TrainingError:
    reason = str(error).splitlines()[0].split(". ")[0]
    return TrainingError(
        "GSM-608",
        "torch cannot compute there",
        where="device",
        found=f"{name!r}: {reason}",
        expected="cpu, cuda, ...",
    )


def _mixed(precision: str, device_type: str) -> "MixedPrecision | None":
    if precision == "32":
        return None
    _needs_fabric(f"precision {precision!r}")
    from lightning_fabric.plugins import MixedPrecision

    return MixedPrecision("16-mixed" if precision == "16" else "bf16-mixed", device_type)


def _fabric(device: str, devices: int, nodes: int, *, strategy: str) -> "Fabric":
    _needs_fabric("training on several devices")
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    if torch.device(device).index is not None:
        raise TrainingError(
            "GSM-608", "one device is named, and several are asked for", where="device", found=device,
            expected=torch.device(device).type, remedy="choose among GPUs with CUDA_VISIBLE_DEVICES",
        )  # fmt: skip
    try:
        return Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy)
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise _no_device(f"{devices} x {device}", error) from None


def _needs_fabric(what: str) -> None:
    import_optional("lightning_fabric", package="lightning-fabric", needed_for=what)


def _team(fabric: "Fabric", precision: str) -> Team:
    return Team(
        device=fabric.device, rank=fabric.global_rank, size=fabric.world_size, fabric=fabric,
        precision=_mixed(precision, fabric.device.type),
    )  # fmt: skip


def _in_spawned(fabric: "Fabric", work: Callable[[Team], T], precision: str) -> T:
    """What passes between processes is written to a folder: a pipe that nobody reads yet would hold them up.

    It is pickled, as what goes to them is: the folder is new, nobody else can write to it, and it ends with the run.
    """
    with TemporaryDirectory() as folder:
        try:
            fabric.launch(cast(Callable[..., Any], _spawned), work, precision, folder)
        except ProcessException as ended:
            notes = sorted(Path(folder).glob("error-*"))
            if notes:
                raise cast(GossamerError, pickle.loads(notes[0].read_bytes())) from ended
            raise _has_died(str(ended).strip().splitlines()[-1]) from ended
        return cast(T, pickle.loads(Path(folder, RESULT).read_bytes()))


def _spawned(fabric: "Fabric", work: Callable[[Team], Any], precision: str, folder: str) -> None:
    team = _team(fabric, precision)
    try:
        result = work(team)
    except GossamerError as error:
        Path(folder, f"error-{team.rank}").write_bytes(pickle.dumps(error))
        raise
    if team.is_first:
        Path(folder, RESULT).write_bytes(pickle.dumps(result))
    torch.distributed.destroy_process_group()


def _as_one_of_many(fabric: "Fabric", work: Callable[[Team], T], precision: str) -> T:
    fabric.launch()
    others = getattr(fabric.strategy.launcher, "procs", [])  # those that this process has started
    try:
        result = work(_team(fabric, precision))
        fabric.barrier()
        torch.distributed.destroy_process_group()
        for other in others:
            other.wait()
        return result
    except GossamerError:
        raise
    except Exception as error:
        time.sleep(1 if others else 0)  # a connection breaks a moment before its process has ended
        dead = [other for other in others if other.poll()]
        if dead:
            raise _has_died(f"process {dead[0].pid}: exit status {dead[0].returncode}") from error
        raise
    finally:
        for other in others:  # waiting for what this one will not send
            other.kill()


def _has_died(found: str) -> TrainingError:
    return TrainingError(
        "GSM-609", "one of the processes that train together has ended", found=found,
        remedy="see what it wrote before; go on with --resume",
    )  # fmt: skip
