"""Layers that are computed again in the backward pass: of a step of training only spikes stay in memory, a byte each.

Batch norm shares its statistics over all steps of a layer, so it is layers, with all their steps, that are taken one at
a time, not steps.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from .torch_maps import TorchBatchNorm

Layer = Callable[..., Tensor]


def recomputed(layer: Layer, signals: Sequence[Tensor], modules: Sequence[nn.Module]) -> Tensor:
    """layer(*signals), of which nothing but the signals is kept for the backward pass.

    Args:
        layer: A function of the signals and of the modules' parameters.
        signals: (T or 1, batch, *shape); spikes are kept as bytes.
        modules: What the layer uses; their batch norms' running statistics move in the forward pass alone.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in (*signals, *parameters)):
        return layer(*signals)
    plan = (layer, modules, len(signals))
    return cast(Tensor, Recomputed.apply(plan, *signals, *parameters))  # type: ignore[no-untyped-call]


class Recomputed(torch.autograd.Function):
    """See `recomputed`. Source: Chen et al. 2016."""

    @staticmethod
    def forward(ctx: Any, plan: tuple[Layer, Sequence[nn.Module], int], *tensors: Tensor) -> Tensor:
        """What the layer returns."""
        layer, _, n_signals = plan
        signals, parameters = tensors[:n_signals], tensors[n_signals:]
        ctx.plan, ctx.dtypes = plan, [s.dtype for s in signals]
        ctx.autocast = _autocast_of_now(tensors[0].device.type)
        ctx.save_for_backward(*(_packed(s) for s in signals), *parameters)
        return layer(*signals)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to signals and parameters, by computing the layer once more."""
        layer, modules, n_signals = ctx.plan
        packed, parameters = ctx.saved_tensors[:n_signals], ctx.saved_tensors[n_signals:]
        wanted = ctx.needs_input_grad[1:]
        with torch.enable_grad(), _statistics_kept(modules), torch.autocast(**ctx.autocast):
            signals = [
                s.to(dtype).requires_grad_(is_wanted)
                for s, dtype, is_wanted in zip(packed, ctx.dtypes, wanted, strict=False)
            ]
            result = layer(*signals)
            inputs = [t for t, is_wanted in zip((*signals, *parameters), wanted, strict=True) if is_wanted]
            found = iter(torch.autograd.grad(result, inputs, grads[0], allow_unused=True))
        return (None, *(next(found) if is_wanted else None for is_wanted in wanted))


def _autocast_of_now(device_type: str) -> dict[str, Any]:
    """The forward pass's autocast, for the second forward pass, which runs outside of it."""
    return {
        "device_type": device_type,
        "dtype": torch.get_autocast_dtype(device_type),
        "enabled": torch.is_autocast_enabled(device_type),
    }


def _packed(signal: Tensor) -> Tensor:
    """Spikes and small whole numbers as bytes, in the same memory order; anything else as it is."""
    packed = signal.detach().to(torch.uint8)
    return packed if torch.equal(packed.to(signal.dtype), signal) else signal.detach()


@contextmanager
def _statistics_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Batch norms whose running statistics stay as they are."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, TorchBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
