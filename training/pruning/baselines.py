"""Masks that nothing is learned for: by magnitude, at random, and those of another network. The baselines."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from ...compiler import Array, Connection, Conv2d, Dense, Network
from ..errors import TrainingError
from ..seeds import torch_rng
from ..torch_maps import to_array
from .patterns import Pattern
from .scores import top_k_mask

Weighted = Dense | Conv2d


def prune_by_magnitude(
    network: Network, density: float, *, scope: Literal["layer", "network"] = "layer", pattern: str = "free"
) -> Network:
    """Mask all but the largest |weights|. Lossy.

    Args:
        network: Float32.
        density: Share of weights to keep, in (0, 1].
        scope: "layer" keeps that share of each dense and convolution map, "network" of all of them together.
        pattern: Which weights are kept together, see `patterns`; with scope "network" only "free".
    """
    prunable = _prunable(network)
    if scope == "layer":
        return _masked(
            network,
            [
                to_array(top_k_mask(torch.tensor(m.weight), density, at))
                for m, at in zip(prunable, _patterns(network, pattern), strict=True)
            ],
        )
    everything = torch.cat([torch.tensor(m.weight).flatten() for m in prunable])
    parts = torch.split(top_k_mask(everything, density), [m.weight.size for m in prunable])
    return _masked(network, [to_array(part).reshape(m.weight.shape) for part, m in zip(parts, prunable, strict=True)])


def prune_at_random(
    network: Network,
    density: float,
    *,
    seed: int,
    spread: Literal["uniform", "erdos-renyi"] = "uniform",
    pattern: str = "free",
) -> Network:
    """Keep weights at random. Lossy.

    Args:
        network: Float32.
        density: Share of weights to keep, in (0, 1].
        seed: Of the choice.
        spread: "uniform" keeps that share of every layer; "erdos-renyi" more of small layers: a share in proportion to
            (c_out + c_in + kh + kw) / (c_out c_in kh kw), at most 1.
        pattern: Which weights are kept together, see `patterns`.
    Source: Mocanu et al. 2018 (SET), Evci et al. 2020 (ERK).
    """
    prunable = _prunable(network)
    shares = (
        [density] * len(prunable) if spread == "uniform" else erdos_renyi([m.weight.shape for m in prunable], density)
    )
    masks = []
    for i, (m, share, at) in enumerate(zip(prunable, shares, _patterns(network, pattern), strict=True)):
        scores = torch.rand(m.weight.shape, generator=torch_rng(seed, "random mask", i))
        masks.append(to_array(top_k_mask(scores, share, at)))
    return _masked(network, masks)


def erdos_renyi(shapes: Sequence[tuple[int, ...]], density: float) -> list[float]:
    """Shares of layers of these shapes that keep `density` of all their weights; see `prune_at_random`."""
    sizes = np.array([np.prod(shape) for shape in shapes], float)
    shares = np.array([sum(shape) for shape in shapes]) / sizes
    full = np.zeros(len(shapes), bool)
    while True:
        left = density * sizes.sum() - sizes[full].sum()
        factor = left / (shares * sizes)[~full].sum()
        too_full = ~full & (factor * shares >= 1)
        if not too_full.any():
            return [1.0 if f else float(factor * s) for f, s in zip(full, shares, strict=True)]
        full |= too_full


def prune_like(network: Network, other: Network) -> Network:
    """Give a network the masks of another of the same layers; weights that they hide are set to 0.

    Raises: TrainingError: GSM-608 if the layers differ, or the other has no masks.
    """
    mine, theirs = _prunable(network), _prunable(other)
    if [m.weight.shape for m in mine] != [m.weight.shape for m in theirs] or any(m.mask is None for m in theirs):
        raise TrainingError(
            "GSM-608",
            "cannot take over the masks",
            where=other.name,
            found="other layers" if all(m.mask is not None for m in theirs) else "a layer without a mask",
            expected=f"masks for the {len(mine)} layers of {network.name}",
        )
    return _masked(network, [m.mask for m in theirs if m.mask is not None])


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


def _prunable(network: Network) -> list[Weighted]:
    return [m for c in network.connections for m in c.maps if isinstance(m, (Dense, Conv2d))]


def _patterns(network: Network, name: str) -> list[Pattern]:
    return [
        Pattern(name, is_readout=c.target == network.output)
        for c in network.connections
        for m in c.maps
        if isinstance(m, (Dense, Conv2d))
    ]


def _masked(network: Network, masks: Sequence[Array]) -> Network:
    mask_of = {id(m): mask for m, mask in zip(_prunable(network), masks, strict=True)}

    def masked(c: Connection) -> Connection:
        maps = (
            replace(m, mask=mask_of[id(m)], weight=np.where(mask_of[id(m)], m.weight, np.float32(0)))
            if isinstance(m, (Dense, Conv2d))
            else m
            for m in c.maps
        )
        return replace(c, maps=tuple(maps))

    return replace(network, connections=tuple(masked(c) for c in network.connections))
