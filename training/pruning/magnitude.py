"""Magnitude pruning: keep the largest weights. The baseline that knows nothing of robustness."""

from dataclasses import replace
from typing import Literal

import torch

from ...compiler import Array, Conv2d, Dense, Network
from ..torch_maps import to_array
from .scores import top_k_mask


def prune_by_magnitude(network: Network, density: float, *, scope: Literal["layer", "network"] = "layer") -> Network:
    """Mask all but the largest |weights|. Lossy.

    Args:
        network: Float32.
        density: Share of weights to keep, in (0, 1].
        scope: "layer" keeps that share of each dense and convolution map, "network" of all of them together.
    """
    prunable = [m for c in network.connections for m in c.maps if isinstance(m, (Dense, Conv2d))]
    if scope == "layer":
        masks = [to_array(top_k_mask(torch.tensor(m.weight), density)) for m in prunable]
    else:
        everything = torch.cat([torch.tensor(m.weight).flatten() for m in prunable])
        parts = torch.split(top_k_mask(everything, density), [m.weight.size for m in prunable])
        masks = [to_array(part).reshape(m.weight.shape) for part, m in zip(parts, prunable, strict=True)]
    mask_of: dict[int, Array] = {id(m): mask for m, mask in zip(prunable, masks, strict=True)}
    connections = [
        replace(
            c,
            maps=tuple(
                replace(m, mask=mask_of[id(m)], weight=m.weight * mask_of[id(m)])
                if isinstance(m, (Dense, Conv2d))
                else m
                for m in c.maps
            ),
        )
        for c in network.connections
    ]
    return replace(network, connections=tuple(connections))


def density_of(network: Network) -> dict[str, tuple[int, int]]:
    """Per population that dense and convolution maps lead into: (weights that act, weights)."""
    counts: dict[str, tuple[int, int]] = {}
    for c in network.connections:
        for m in c.maps:
            if isinstance(m, (Dense, Conv2d)):
                kept, total = counts.get(c.target, (0, 0))
                acts = (m.weight != 0) if m.mask is None else (m.weight != 0) & m.mask
                counts[c.target] = kept + int(acts.sum()), total + m.weight.size
    return counts
