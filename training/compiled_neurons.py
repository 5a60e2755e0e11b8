"""IF and LIF over all steps by torch.compile: one kernel forward and one back, where `LeakyIntegrateAndFire` runs some
ten operations in each step. For devices that our own fused kernels do not know.

The backward pass computes the membrane again, so that nothing is kept but what arrives. Rounding may differ from the
loop's in the last bit, and a spike with it, where a membrane ends at its threshold.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from .errors import TrainingError
from .neurons import Row
from .surrogates import SURROGATES, Surrogate, SurrogateName


class _Plan(NamedTuple):
    """What a compiled kernel is made for, as constants."""

    n_steps: int
    reset: str
    is_at_least: bool
    detach_reset: bool
    surrogate: SurrogateName
    width: float
    scale: float


def can_compile(current: Tensor, row: Row) -> bool:
    """True for IF and LIF with coefficients by channel, in float32."""
    coefficients = (row.threshold, row.leak, row.v_init)
    is_by_channel = all(c.numel() in (1, current.shape[2]) for c in coefficients)
    return current.dtype == torch.float32 and row.is_plain and row.like.bias_target != "membrane" and is_by_channel


def compiled_neurons(current: Tensor, n_steps: int, row: Row, surrogate: Surrogate) -> Tensor:
    """Spikes of a population; as `multi_step`.

    Args:
        current: (T, batch, channels, ...) what arrives, bias included; or (1, batch, channels, ...).
        n_steps: T.
        row: The neurons; see `can_compile`.
        surrogate: d spike / d v.
    Returns: (T, batch, channels, ...) zeros and ones.
    Raises: TrainingError: GSM-608 if torch.compile does not work here.
    """
    plan = _Plan(
        n_steps=n_steps, reset=row.like.reset, is_at_least=row.like.comparator == ">=", detach_reset=row.detach_reset,
        surrogate=surrogate.name, width=surrogate.width, scale=surrogate.scale,
    )  # fmt: skip
    in_memory = current.movedim(2, -1)  # the order that convolutions leave: channels fastest
    rows = in_memory.reshape(len(current), -1, current.shape[2])
    coefficients = [c.reshape(-1).expand(current.shape[2]).contiguous() for c in (row.threshold, row.leak, row.v_init)]
    spikes = cast(Tensor, CompiledNeurons.apply(rows, *coefficients, plan))  # type: ignore[no-untyped-call]
    return spikes.reshape(n_steps, *in_memory.shape[1:]).movedim(-1, 2)


class CompiledNeurons(torch.autograd.Function):
    """See `compiled_neurons`. The gradient is that of `LeakyIntegrateAndFire`."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, threshold: Tensor, leak: Tensor, v_init: Tensor, plan: _Plan) -> Tensor:
        """(T, n, channels) spikes of (T or 1, n, channels) currents."""
        ctx.save_for_backward(current, threshold, leak, v_init)
        ctx.plan = plan
        return cast(Tensor, _compiled(_fire)(*_detached(current, threshold, leak, v_init), plan))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to the current and to the threshold, (channels,)."""
        tensors = _detached(*ctx.saved_tensors, grads[0])
        to_current, to_threshold = _compiled(_back)(*tensors, ctx.plan, ctx.needs_input_grad[1])
        return to_current, to_threshold, None, None, None


def _detached(*tensors: Tensor) -> list[Tensor]:
    """A kernel is made anew for tensors that require a gradient; these do not."""
    return [tensor.detach() for tensor in tensors]


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    run = torch.compile(function, dynamic=True)

    def checked(*arguments: Any) -> Any:
        try:
            return run(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise TrainingError(
                "GSM-608", "torch.compile does not work here", where="recipe.compile",
                found=str(error).strip().splitlines()[0],
                remedy="install a C++ compiler (for a GPU also triton), or leave compile out of the recipe",
            ) from error  # fmt: skip

    return checked


def _steps(
    current: Tensor, threshold: Tensor, leak: Tensor, v_init: Tensor, plan: _Plan
) -> list[tuple[Tensor, Tensor]]:
    """(membrane before the reset, spikes) of every step."""
    v, steps = v_init, []
    for t in range(plan.n_steps):
        membrane = current[t % len(current)] + leak * v
        fired = membrane >= threshold if plan.is_at_least else membrane > threshold
        spikes = fired.to(current.dtype)
        v = membrane
        if plan.reset == "zero":
            v = membrane * (1 - spikes)
        elif plan.reset == "subtract":
            v = membrane - threshold * spikes
        steps.append((membrane, spikes))
    return steps


def _fire(current: Tensor, threshold: Tensor, leak: Tensor, v_init: Tensor, plan: _Plan) -> Tensor:
    return torch.stack([spikes for _, spikes in _steps(current, threshold, leak, v_init, plan)])


def _back(
    current: Tensor, threshold: Tensor, leak: Tensor, v_init: Tensor, grad: Tensor, plan: _Plan, wants_threshold: bool
) -> tuple[Tensor, Tensor | None]:
    """See `LeakyIntegrateAndFire` for the equations."""
    steps = _steps(current, threshold, leak, v_init, plan)
    grad_v = torch.zeros_like(current[0])
    total = torch.zeros_like(current[0])
    to_current = []
    for t in reversed(range(plan.n_steps)):
        v, s = steps[t]
        slope = SURROGATES[plan.surrogate](v - threshold, plan.width) * plan.scale
        to_spike = grad[t]
        if plan.reset == "zero":
            through = 1 - s
            total_of_reset = torch.zeros_like(v)
            if not plan.detach_reset:
                to_spike = to_spike - v * grad_v
        elif plan.reset == "subtract":
            through = torch.ones_like(v)
            total_of_reset = -s * grad_v
            if not plan.detach_reset:
                to_spike = to_spike - threshold * grad_v
        else:
            through, total_of_reset = torch.ones_like(v), torch.zeros_like(v)
        total = total - to_spike * slope + total_of_reset
        grad_current = to_spike * slope + through * grad_v
        to_current.append(grad_current)
        grad_v = leak * grad_current
    stacked = torch.stack(to_current[::-1])
    to_current_of_all = stacked.sum(0, keepdim=True) if len(current) == 1 else stacked
    return to_current_of_all, total.sum(0) if wants_threshold else None
