"""The processes that train one network together, one for each device, and the precision in which they compute."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from ..compiler import GossamerError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Team:
    """Final. One process's view: which it is, of how many, its device; alone and in float32 if nothing is said.

    Every process holds the whole network and the same numbers in it, and takes its share of every batch. The first
    one alone reads and writes the files of a run.

    rank: from 0. fabric: what the processes talk by; None alone. precision: mixed; None is float32.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    size: int = 1
    fabric: "Fabric | None" = None
    precision: "MixedPrecision | None" = None

    @property
    def is_first(self) -> bool:
        """True for the process that reads, writes and reports."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Which of n samples are this process's; shares differ by one sample at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def first(self, work: Callable[[], T]) -> T:
        """What `work` returns in the first process, for all of them; or what it raises, if that is an error of ours."""
        if self.fabric is None:
            return work()
        outcome: tuple[T | None, GossamerError | None] = (None, None)
        if self.is_first:
            try:
                outcome = work(), None
            except GossamerError as error:
                outcome = None, error
        value, refusal = self.fabric.broadcast(outcome)
        if refusal is not None:
            raise refusal
        return cast(T, value)

    def average(self, tensors: Sequence[Tensor], weight: int) -> int:
        """Replace each tensor by its mean over the processes, weighted; one message for all of them.

        Args:
            tensors: float32; the same shapes in every process.
            weight: Of this process: its number of samples.
        Returns: The sum of the weights.
        """
        if self.fabric is None:
            return weight
        numbers = [tensor.detach() for tensor in tensors]
        parts = [*(weight * n.reshape(-1) for n in numbers), numbers[0].new_tensor([weight])]
        total = cast(Tensor, self.fabric.all_reduce(torch.cat(parts), reduce_op="sum"))
        means = torch.split(total[:-1] / total[-1], [n.numel() for n in numbers])
        for tensor, mean in zip(numbers, means, strict=True):
            tensor.copy_(mean.view_as(tensor))
        return round(total[-1].item())

    def autocast(self) -> AbstractContextManager[Any]:
        """In it, convolutions and matrix products are computed in the precision that was asked for."""
        return nullcontext() if self.precision is None else self.precision.forward_context()

    def backward(self, loss: Tensor) -> None:
        """Gradients; in float16 of a multiple of the loss, that they may not vanish."""
        if self.precision is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.precision.backward(loss, None)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """A step of the optimizer, unless the gradients of the multiple are not finite: then that is lowered."""
        if self.precision is None:
            optimizer.step()
        else:
            self.precision.optimizer_step(optimizer)

    def scaling(self) -> dict[str, Any]:
        """The state of that multiple, as JSON values; empty where there is none."""
        return {} if self.precision is None else self.precision.state_dict()

    def restore_scaling(self, state: dict[str, Any]) -> None:
        """Go on with a multiple as it was."""
        if self.precision is not None and state:
            self.precision.load_state_dict(state)
