"""Which weights are kept or removed together.

"free"      each by itself.
"channels"  an output channel (of a dense layer: a neuron) with all that leads into it; of the readout, whose outputs
            are the classes, an input channel.
"kernels"   the kh x kw weights from one channel to another.
"AxB"       A output x B input channels at one place of the kernel.
"N:M"       N of M successive weights of an output channel are kept (Mishra et al. 2021), input channels fastest.

A pattern is a way to lay a layer's weights, (c_out, c_in, ...), out in groups, (n_groups, size), and back.
"""

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Pattern:
    """A pattern by its name; `is_readout` for the last layer of a network."""

    name: str = "free"
    is_readout: bool = False

    @property
    def n_of_m(self) -> tuple[int, int] | None:
        """(N, M) of "N:M"."""
        if ":" not in self.name:
            return None
        n, m = self.name.split(":")
        return int(n), int(m)

    def to_groups(self, weights: Tensor) -> Tensor:
        """(c_out, c_in, ...) as (n_groups, size); places of a group that the layer does not have are 0."""
        if self.name == "free":
            return weights.reshape(-1, 1)
        if self.name == "channels":
            return weights.transpose(0, 1).flatten(1) if self.is_readout else weights.flatten(1)
        if self.name == "kernels":
            return weights.flatten(2).flatten(0, 1) if weights.ndim > 2 else weights.reshape(-1, 1)
        if self.n_of_m is not None:
            rows = weights.movedim(1, -1).flatten(1)
            m = self.n_of_m[1]
            return F.pad(rows, (0, -rows.shape[1] % m)).reshape(-1, m)
        a, b = self._block
        places = weights.flatten(2) if weights.ndim > 2 else weights[..., None]
        padded = F.pad(places, (0, 0, 0, -places.shape[1] % b, 0, -places.shape[0] % a))
        blocks = padded.reshape(padded.shape[0] // a, a, padded.shape[1] // b, b, -1)
        return blocks.permute(0, 2, 4, 1, 3).reshape(-1, a * b)

    def from_groups(self, groups: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `to_groups`: (n_groups, size) as (c_out, c_in, ...)."""
        if self.name in ("free", "kernels") or (self.name == "channels" and not self.is_readout):
            return groups.reshape(shape)
        c_out, c_in = shape[:2]
        if self.name == "channels":
            return groups.reshape(c_in, c_out, *shape[2:]).transpose(0, 1)
        if self.n_of_m is not None:
            n = prod(shape[1:])
            return groups.reshape(c_out, -1)[:, :n].reshape(c_out, *shape[2:], c_in).movedim(-1, 1)
        a, b = self._block
        n_out, n_in, n_places = -(-c_out // a), -(-c_in // b), prod(shape[2:])
        blocks = groups.reshape(n_out, n_in, n_places, a, b).permute(0, 3, 1, 4, 2)
        return blocks.reshape(n_out * a, n_in * b, n_places)[:c_out, :c_in].reshape(shape)

    @property
    def _block(self) -> tuple[int, int]:
        a, b = self.name.split("x")
        return int(a), int(b)
