"""Spikes held as bits."""

import torch
from torch import Tensor

GATHER = sum(1 << (56 - 7 * i) for i in range(8))  # times a word of eight bytes of 0 or 1: its top byte has their bits


class PackedSpikes:
    """Final. Zeros and ones of a tensor as bits on its device; unpacked, they lie in memory in the same order."""

    def __init__(self, spikes: Tensor) -> None:
        span = 1 + sum((n - 1) * stride for n, stride in zip(spikes.shape, spikes.stride(), strict=True))
        if span != spikes.numel():  # a part of a tensor, or one that repeats
            spikes = spikes.contiguous()
        self.shape, self.strides, self.dtype = spikes.shape, spikes.stride(), spikes.dtype
        self.bits = _pack(torch.as_strided(spikes, (spikes.numel(),), (1,)))  # whatever the order of the axes

    def unpack(self) -> Tensor:
        """The spikes."""
        patterns = torch.cartesian_prod(*[torch.arange(2, dtype=torch.uint8)] * 8)
        table = torch.empty((256, 8), dtype=self.dtype)
        table[_pack(patterns.flatten()).long()] = patterns.to(self.dtype)
        ones = table.to(self.bits.device).index_select(0, self.bits.int())
        return torch.as_strided(ones, self.shape, self.strides)


def _pack(ones: Tensor) -> Tensor:
    """(n,) of any type to (n / 8 and up,) uint8."""
    padded = torch.nn.functional.pad(ones.to(torch.uint8), (0, -len(ones) % 8))
    words = padded.view(torch.int64) * GATHER
    return (words >> 56).to(torch.uint8)
