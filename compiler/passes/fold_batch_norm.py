"""Fold batch norm and scaling into the weights beside them."""

from dataclasses import replace

import numpy as np

from ..arrays import Array, number
from ..ir import Network
from ..maps import BatchNorm, Conv2d, Dense, Map, Scale, Shape, broadcast
from ..matrix import batch_norm_gain, to_matrix


def fold_batch_norm(network: Network) -> Network:
    """Fold every per-channel gain and shift into the weight map that follows or precedes it. Exact up to rounding.

    After a map: W' = gain W, b' = gain b + shift. Before one: W' = W gain on its input channels, and the shift
    passes through W; zero padding stays zero padding of the *normalised* values, so before a padded convolution
    the shift becomes a bias of its own for each position.
    """
    return replace(
        network,
        connections=tuple(replace(c, maps=_fold(c.maps, network[c.source].shape)) for c in network.connections),
    )


def _fold(maps: tuple[Map, ...], shape: Shape) -> tuple[Map, ...]:
    return _fold_before(_fold_after(maps, shape), shape)


def _fold_after(maps: tuple[Map, ...], shape: Shape) -> list[Map]:
    """Gains that follow a weight map."""
    folded: list[Map] = []
    for m in maps:
        previous = folded[-1] if folded else None
        if isinstance(m, BatchNorm) and isinstance(previous, (Dense, Conv2d)):
            folded[-1] = _after(previous, *batch_norm_gain(m))
        elif isinstance(m, Scale) and isinstance(previous, (Dense, Conv2d)) and _is_per_output_channel(m, shape):
            folded[-1] = _after(previous, *_gain(m, shape))
        else:
            folded.append(m)
        shape = m.output_shape(shape)
    return folded


def _fold_before(maps: list[Map], shape: Shape) -> tuple[Map, ...]:
    """Gains that precede a weight map; they do not change the shape."""
    folded: list[Map] = []
    for m in maps:
        shape_after, shifts = m.output_shape(shape), list[Map]()
        while isinstance(m, (Dense, Conv2d)) and folded:
            previous = folded[-1]
            if not isinstance(previous, (BatchNorm, Scale)) or not _is_per_input_channel(previous, m, shape):
                break
            folded.pop()
            m, shift = _before(previous, m, shape)
            shifts += [] if shift is None else [shift]
        folded += [m, *shifts]
        shape = shape_after
    return tuple(folded)


def _is_per_input_channel(first: BatchNorm | Scale, m: Dense | Conv2d, shape: Shape) -> bool:
    return isinstance(m, Dense) or isinstance(first, BatchNorm) or first.scale.size in (1, shape[0])


def _is_per_output_channel(m: Scale, shape: Shape) -> bool:
    return all(a is None or a.size in (1, shape[0]) for a in (m.scale, m.shift))


def _gain(m: Scale, shape: Shape) -> tuple[Array, Array]:
    shift = np.zeros(()) if m.shift is None else m.shift
    return (
        np.broadcast_to(m.scale.reshape(-1), shape[:1]).astype(np.float64),
        np.broadcast_to(shift.reshape(-1), shape[:1]).astype(np.float64),
    )


def _after(m: Dense | Conv2d, gain: Array, shift: Array) -> Dense | Conv2d:
    bias = 0.0 if m.bias is None else m.bias.astype(np.float64)
    weight = m.weight.astype(np.float64) * gain.reshape(-1, *(1,) * (m.weight.ndim - 1))
    return replace(m, weight=weight.astype(np.float32), bias=(gain * bias + shift).astype(np.float32))


def _before(first: BatchNorm | Scale, m: Dense | Conv2d, shape: Shape) -> tuple[Dense | Conv2d, Scale | None]:
    """`first` then `m` as one map and, where the shift differs by position, a shift after it."""
    if isinstance(first, BatchNorm):
        gain, shift = batch_norm_gain(first)
    else:
        gain, shift = first.scale.astype(np.float64), np.zeros(()) if first.shift is None else first.shift
    if isinstance(m, Dense):
        scaled: Dense | Conv2d = _with(m, m.weight * np.ravel(broadcast(gain, shape, where="gain")))
    else:
        group_of = np.arange(m.weight.shape[0]) // (m.weight.shape[0] // m.groups)
        channels = group_of[:, None] * m.weight.shape[1] + np.arange(m.weight.shape[1])[None, :]
        channel_gain = np.broadcast_to(gain.reshape(-1), shape[:1])[channels]
        scaled = _with(m, m.weight * channel_gain[:, :, None, None])
    if not shift.any():
        return scaled, None
    through, own_bias = to_matrix(m, shape)
    bias = through @ np.ravel(broadcast(np.asarray(shift, np.float64), shape, where="shift")) + own_bias
    bias = bias.astype(np.float32).reshape(m.weight.shape[0], -1)
    if np.ptp(bias, axis=1).max() == 0:
        return replace(scaled, bias=bias[:, 0]), None
    return replace(scaled, bias=None), Scale(scale=number(1), shift=bias.reshape(m.output_shape(shape)))


def _with(m: Dense | Conv2d, weight: Array) -> Dense | Conv2d:
    return replace(m, weight=weight.astype(np.float32))
