"""Fold batch norm and scaling into the weights beside them."""

from dataclasses import replace
from math import prod

import numpy as np

from ..arrays import Array
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
        previous = folded[-1] if folded else None
        if isinstance(m, (Dense, Conv2d)) and isinstance(previous, (BatchNorm, Scale)):
            folded[-1:] = _before(previous, m, shape)
        else:
            folded.append(m)
        shape = m.output_shape(shape)
    return tuple(folded)


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


def _before(first: BatchNorm | Scale, m: Dense | Conv2d, shape: Shape) -> list[Map]:
    """`first` then `m`, as one map or, where the shift differs by position, one map and a shift after it."""
    if isinstance(first, BatchNorm):
        gain, shift = batch_norm_gain(first)
    else:
        gain, shift = first.scale.astype(np.float64), np.zeros(()) if first.shift is None else first.shift
    if isinstance(m, Conv2d) and gain.size not in (1, shape[0]):
        return [first, m]
    through, own_bias = to_matrix(m, shape)
    bias = through @ np.ravel(broadcast(np.asarray(shift, np.float64), shape, where="shift")) + own_bias
    if isinstance(m, Dense):
        weight = m.weight * np.ravel(broadcast(gain, shape, where="gain"))
        return [replace(m, weight=weight.astype(np.float32), bias=bias.astype(np.float32))]
    per_group = m.weight.shape[1]
    group_of = np.arange(m.weight.shape[0]) // (m.weight.shape[0] // m.groups)
    channels = group_of[:, None] * per_group + np.arange(per_group)[None, :]
    channel_gain = np.broadcast_to(gain.reshape(-1), shape[:1])[channels]
    weight = (m.weight * channel_gain[:, :, None, None]).astype(np.float32)
    output_shape = m.output_shape(shape)
    per_channel = bias.reshape(output_shape[0], prod(output_shape[1:]))
    if np.ptp(per_channel, axis=1).max() == 0:
        return [replace(m, weight=weight, bias=per_channel[:, 0].astype(np.float32))]
    shift_map = Scale(scale=np.float32(1), shift=bias.reshape(output_shape).astype(np.float32))  # type: ignore[arg-type]
    return [replace(m, weight=weight, bias=None), shift_map]
