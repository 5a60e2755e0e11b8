"""Spikes held as bits."""

import torch
from torch import Tensor

BITS = 8


class PackedSpikes:
    """Final. Zeros and ones of a tensor as bits on its device; unpacked, they lie in memory in the same order."""

    def __init__(self, spikes: Tensor) -> None:
        span = 1 + sum((n - 1) * stride for n, stride in zip(spikes.shape, spikes.stride(), strict=True))
        if span != spikes.numel():  # a part of a tensor, or one that repeats
            spikes = spikes.contiguous()
        self.shape, self.strides, self.dtype = spikes.shape, spikes.stride(), spikes.dtype
        in_memory = torch.as_strided(spikes, (spikes.numel(),), (1,))  # whatever the order of the axes
        ones = torch.zeros(-(-spikes.numel() // BITS) * BITS, dtype=torch.uint8, device=spikes.device)
        ones[: spikes.numel()] = in_memory
        self.bits = torch.zeros(len(ones) // BITS, dtype=torch.uint8, device=spikes.device)
        for i in range(BITS):
            self.bits |= ones[i::BITS] << i

    def unpack(self) -> Tensor:
        """The spikes."""
        ones = torch.empty(len(self.bits) * BITS, dtype=self.dtype, device=self.bits.device)
        for i in range(BITS):
            ones[i::BITS] = (self.bits >> i) & 1
        return torch.as_strided(ones, self.shape, self.strides)
