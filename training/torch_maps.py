"""The IR's affine maps as modules with parameters: (n, *shape) in, (n, *output shape) out, and back to a map."""

from abc import abstractmethod
from dataclasses import replace
from math import prod
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..compiler import (
    Array,
    AveragePool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Map,
    Scale,
    Shape,
    Sparse,
    SumPool2d,
    broadcastable,
)
from .lanes import Norm


class Masking(nn.Module):
    """Abstract. Which weights of one map act: (weight) -> effective weight, and the mask itself."""

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """The weight that acts, of the same shape."""

    @abstractmethod
    def mask(self) -> Tensor | None:
        """Bool, of the weight's shape; None if every weight acts."""


class FixedMask(Masking):
    """Final. A mask that training does not change; gradients, momentum and decay cannot revive what it hides.

    keep: the mask, or None. While it is watched it remembers the gradient of every weight, hidden ones too.
    """

    def __init__(self, mask: Tensor | None) -> None:
        super().__init__()
        self.keep: Tensor | None
        self.register_buffer("keep", mask)
        self._watched: list[Tensor] | None = None

    def forward(self, weight: Tensor) -> Tensor:
        """weight * mask."""
        if self.keep is None:
            return weight
        effective = weight * self.keep
        if self._watched is not None and effective.requires_grad:
            effective.retain_grad()
            self._watched.append(effective)
        return effective

    def mask(self) -> Tensor | None:
        """As given."""
        return self.keep

    def watch(self, watched: bool) -> None:
        """Begin to remember gradients, or forget them."""
        self._watched = [] if watched else None

    def gradient(self) -> Tensor:
        """d L / d (weight * mask) of the backward passes since it is watched, of the weight's shape."""
        gradients = [effective.grad for effective in self._watched or () if effective.grad is not None]
        return sum(gradients[1:], start=gradients[0])


class TorchMap(nn.Module):
    """Abstract. One map of a connection."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(n, *shape) -> (n, *output shape)."""

    @abstractmethod
    def to_map(self) -> Map:
        """The IR's map with the values that the parameters have now."""


class TorchWeights(TorchMap):
    """Final. Dense or Conv2d. `masking` decides which weights act, always in the forward pass.

    Integer maps hold float64 buffers, in which every sum below 2^53 is exact.
    """

    def __init__(self, m: Dense | Conv2d) -> None:
        super().__init__()
        self.like = m
        self.weight = _parameter(self, "weight", m.weight)
        self.bias = None if m.bias is None else _parameter(self, "bias", m.bias)
        self.masking: Masking = FixedMask(None if m.mask is None else torch.tensor(m.mask))

    @property
    def fan_in(self) -> int:
        """Weights per output neuron."""
        return prod(self.like.weight.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Matrix product or cross-correlation, of x's type: autocast may compute it in another, neurons do not."""
        weight: Tensor = self.masking(self.weight)
        if isinstance(self.like, Dense):
            return _dense(x, weight, self.bias).to(x.dtype)
        m = self.like
        y = F.conv2d(x, weight, self.bias, m.stride, m.padding, m.dilation, m.groups)
        # Pixels before channels in memory: twice as fast on a CPU, and all that follows keeps the order.
        return y.to(x.dtype).contiguous(memory_format=torch.channels_last)

    def to_map(self) -> Map:
        """With the mask multiplied in as well: a pruned weight is stored as 0."""
        mask = self.masking.mask()
        if self.like.weight.dtype.kind != "f":
            return self.like
        return replace(
            self.like,
            weight=to_array(self.weight if mask is None else self.weight.masked_fill(~mask, 0)),
            bias=None if self.bias is None else to_array(self.bias),
            mask=None if mask is None else to_array(mask),
        )


class TorchBatchNorm(TorchMap):
    """Final. Batch norm over everything but channels: steps and samples share its statistics.

    statistics: "auto"  the batch's while training (and they move the running ones by `momentum`), else the running.
                "batch" the batch's, and the running ones stay as they are.
    A constant input counts once, not once for each step: mean and variance are the same, the running variance's
    n / (n - 1) differs by less than 1 / n.
    """

    def __init__(self, m: BatchNorm) -> None:
        super().__init__()
        self.like = m
        self.gamma = _parameter(self, "gamma", m.gamma)
        self.beta = _parameter(self, "beta", m.beta)
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.tensor(m.mean))
        self.register_buffer("variance", torch.tensor(m.variance))
        self.statistics = "auto"
        self.momentum = 0.1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        if x.ndim == 4:
            x = _channels_last(x)
        if self.statistics == "batch":
            return F.batch_norm(x, None, None, self.gamma, self.beta, True, 0.0, self.like.eps)
        return F.batch_norm(
            x, self.mean, self.variance, self.gamma, self.beta, self.training, self.momentum, self.like.eps
        )

    def as_norm(self) -> Norm:
        """What `forward` would do now, for the neurons to do it."""
        is_fixed = self.statistics == "batch"
        return Norm(
            gamma=self.gamma, beta=self.beta, mean=self.mean, variance=self.variance, eps=self.like.eps,
            momentum=0.0 if is_fixed else self.momentum, by_batch=is_fixed or self.training,
        )  # fmt: skip

    def to_map(self) -> Map:
        """With the running statistics."""
        return replace(
            self.like,
            mean=to_array(self.mean),
            variance=to_array(self.variance),
            gamma=to_array(self.gamma),
            beta=to_array(self.beta),
        )


class TorchScale(TorchMap):
    """Final. y = scale x + shift, trained as it is: one number, one per channel or one per neuron.

    Fixed in a connection out of the input population: there it is the normalisation of pixels.
    """

    def __init__(self, m: Scale, input_shape: Shape, *, is_trained: bool) -> None:
        super().__init__()
        self.like = m
        register = _parameter if is_trained else _buffer

        def add(name: str, array: Array) -> Tensor:
            return register(self, name, broadcastable(array, input_shape, where="Scale"))

        self.scale = add("scale", m.scale)
        self.shift = None if m.shift is None else add("shift", m.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        y = x * self.scale
        return y if self.shift is None else y + self.shift

    def to_map(self) -> Map:
        """With the values that are trained, in the shapes given."""
        trained = {n: to_array(p).reshape(getattr(self.like, n).shape) for n, p in self.named_parameters()}
        return replace(self.like, **trained)


class TorchPool(TorchMap):
    """Final. Average or sum over windows; padding counts as zeros."""

    def __init__(self, m: AveragePool2d | SumPool2d) -> None:
        super().__init__()
        self.like = m

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        m = self.like
        divisor = 1 if isinstance(m, SumPool2d) else prod(m.kernel)
        tiles = (
            m.stride == m.kernel and m.padding == (0, 0) and x.shape[2] % m.kernel[0] == x.shape[3] % m.kernel[1] == 0
        )
        if tiles and x.requires_grad:
            return cast(Tensor, PoolTiles.apply(x, m.kernel, divisor))  # type: ignore[no-untyped-call]
        return F.avg_pool2d(x, m.kernel, m.stride, m.padding, divisor_override=divisor)

    def to_map(self) -> Map:
        """As given."""
        return self.like


class PoolTiles(torch.autograd.Function):
    """Pooling over windows side by side. Its gradient is written once; PyTorch's own is added to zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: tuple[int, int], divisor: int) -> Tensor:
        """(n, c, h, w) -> (n, c, h / kernel[0], w / kernel[1])."""
        ctx.size, ctx.divisor = x.shape[2:], divisor
        return F.avg_pool2d(x, kernel, kernel, divisor_override=divisor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """To x."""
        return F.interpolate(grads[0] / ctx.divisor, ctx.size, mode="nearest"), None, None


class TorchSparse(TorchMap):
    """Final. A sparse matrix, for evaluation: its weights are not trained."""

    def __init__(self, m: Sparse) -> None:
        super().__init__()
        self.like = m
        pre = np.repeat(np.arange(len(m.row_start) - 1), np.diff(m.row_start))
        indices = torch.tensor(np.stack([m.targets.astype(np.int64), pre]))
        size = (prod(m.shape), len(m.row_start) - 1)
        matrix = torch.sparse_coo_tensor(indices, _tensor(m.weights), size, check_invariants=True).coalesce()
        self.matrix: Tensor
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """matrix @ x, for each sample."""
        with torch.autocast(x.device.type, enabled=False):
            y: Tensor = torch.sparse.mm(self.matrix, x.flatten(1).T)
        return y.T.reshape(len(x), *self.like.shape)

    def to_map(self) -> Map:
        """As given."""
        return self.like


def _channels_last(x: Tensor) -> Tensor:
    """With pixels before channels in memory, and the strides that go with it.

    A picture alone may have any stride from sample to sample; PyTorch's batch norm then takes its order in memory for
    another than its gradient's, and the result is wrong without an error (seen in 2.13).
    """
    return (
        x.clone(memory_format=torch.channels_last) if len(x) == 1 else x.contiguous(memory_format=torch.channels_last)
    )


def _dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """weight @ x. Pictures with pixels before channels in memory stay so: it is the weights that are put in order."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        weight = weight.reshape(-1, *x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
        x = x.permute(0, 2, 3, 1)
    return F.linear(x.flatten(1), weight, bias)


def to_module(m: Map, input_shape: Shape, *, from_input: bool = False) -> TorchMap:
    """The module that does what a map does. from_input: it is in a connection out of the input population."""
    match m:
        case Dense() | Conv2d():
            return TorchWeights(m)
        case BatchNorm():
            return TorchBatchNorm(m)
        case Scale():
            return TorchScale(m, input_shape, is_trained=not from_input)
        case AveragePool2d() | SumPool2d():
            return TorchPool(m)
        case Sparse():
            return TorchSparse(m)


def split_by_delay(m: Dense | Sparse) -> list[tuple[int, Dense | Sparse]]:
    """A map with a delay for each synapse as maps with one delay each; a bias, which does not wait, goes once."""
    if m.delays is None or not m.delays.size:
        return [(0, m)]
    parts: list[tuple[int, Dense | Sparse]] = []
    for delay in np.unique(m.delays):
        these = m.delays == delay
        part: Dense | Sparse
        if isinstance(m, Dense):
            weight = (m.weight * these).astype(m.weight.dtype)
            part = replace(m, weight=weight, bias=None if parts else m.bias, delays=None)
        else:
            part = replace(m, weights=(m.weights * these).astype(m.weights.dtype), delays=None)
        parts.append((int(delay), part))
    return parts


def to_array(tensor: Tensor) -> Array:
    """A NumPy copy."""
    array: Array = tensor.detach().cpu().numpy().copy()
    return array


def _tensor(array: Array) -> Tensor:
    """float32 as it is; whole numbers as float64."""
    return torch.tensor(array if array.dtype.kind == "f" else array.astype(np.float64))


def _parameter(module: nn.Module, name: str, array: Array) -> Tensor:
    """Register a float array as a parameter, an integer one as a buffer."""
    tensor = _tensor(array)
    if array.dtype.kind == "f":
        parameter = nn.Parameter(tensor)
        module.register_parameter(name, parameter)
        return parameter
    return _buffer(module, name, array)


def _buffer(module: nn.Module, name: str, array: Array) -> Tensor:
    tensor = _tensor(array)
    module.register_buffer(name, tensor)
    return tensor
