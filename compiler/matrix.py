"""Maps as sparse matrices: the exact synapses that a map stands for."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import scipy  # scipy.sparse is imported where it is first used: a fifth of a second
from numpy.typing import NDArray

from .arrays import Array
from .maps import AveragePool2d, BatchNorm, Conv2d, Dense, Map, Scale, Shape, Sparse, SumPool2d, broadcast

Matrix = Any  # scipy.sparse.csr_array


def to_matrix(m: Map, input_shape: Shape) -> tuple[Matrix, Array]:
    """(n_out, n_in) matrix without stored zeros, and (n_out,) bias: y = matrix @ x + bias. Masks are applied."""
    output_shape = m.output_shape(input_shape)
    n_out, n_in = prod(output_shape), prod(input_shape)
    match m:
        case Dense():
            weight = m.weight if m.mask is None else m.weight * m.mask
            matrix = scipy.sparse.csr_array(weight)
            bias = np.zeros(n_out, m.weight.dtype) if m.bias is None else m.bias
        case Conv2d():
            matrix = _convolution(m, input_shape, output_shape)
            channel_bias = np.zeros(output_shape[0], m.weight.dtype) if m.bias is None else m.bias
            bias = np.repeat(channel_bias, prod(output_shape[1:]))
        case Sparse():
            matrix = scipy.sparse.csr_array((m.weights, m.targets, m.row_start), shape=(n_in, n_out)).T.tocsr()
            bias = np.zeros(n_out, m.weights.dtype)
        case BatchNorm():
            gain, shift = batch_norm_gain(m)
            matrix = _diagonal(np.ravel(broadcast(gain, input_shape, where="BatchNorm")))
            bias = np.ravel(broadcast(shift, input_shape, where="BatchNorm"))
        case Scale():
            matrix = _diagonal(np.ravel(broadcast(m.scale, input_shape, where="Scale")))
            shift = np.zeros((), m.scale.dtype) if m.shift is None else m.shift
            bias = np.ravel(broadcast(shift, input_shape, where="Scale"))
        case AveragePool2d() | SumPool2d():
            matrix = _convolution(pool_as_convolution(m, input_shape[0]), input_shape, output_shape)
            bias = np.zeros(n_out, np.float32)
    matrix.eliminate_zeros()
    return matrix, bias


def chain_to_matrix(maps: Sequence[Map], input_shape: Shape) -> tuple[Matrix, Array, Shape]:
    """The product of a chain of maps: (matrix, bias, output shape). Whole numbers stay whole: int64."""
    dtype = np.int64 if maps and all(_is_integer(m) for m in maps) else np.float32
    matrix: Matrix = scipy.sparse.eye_array(prod(input_shape), dtype=dtype, format="csr")
    bias: Array = np.zeros(prod(input_shape), dtype)
    shape = input_shape
    for m in maps:
        step, step_bias = to_matrix(m, shape)
        if dtype is np.int64:
            step, step_bias = step.astype(dtype), step_bias.astype(dtype)
        matrix, bias, shape = (step @ matrix).tocsr(), step @ bias + step_bias, m.output_shape(shape)
    matrix.eliminate_zeros()
    return matrix, bias, shape


def matrix_to_sparse(matrix: Matrix, shape: Shape) -> Sparse:
    """The Sparse map of a (n_out, n_in) matrix, rows by source, targets ascending."""
    by_source = scipy.sparse.csr_array(matrix.T.tocsr())
    by_source.sum_duplicates()
    by_source.sort_indices()
    weights = by_source.data if by_source.data.dtype.kind in "iu" else by_source.data.astype(np.float32)
    return Sparse(row_start=by_source.indptr.astype(np.int64), targets=by_source.indices, weights=weights, shape=shape)


def batch_norm_gain(m: BatchNorm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(gain, shift) with y = gain * x + shift, computed in float64."""
    gain = m.gamma.astype(np.float64) / np.sqrt(m.variance.astype(np.float64) + m.eps)
    return gain, m.beta.astype(np.float64) - m.mean.astype(np.float64) * gain


def pool_as_convolution(m: AveragePool2d | SumPool2d, n_channels: int) -> Conv2d:
    """Pooling as a depthwise convolution with equal weights."""
    weight: Array = np.ones((n_channels, 1, *m.kernel), np.float32)
    if isinstance(m, AveragePool2d):
        weight = weight / np.float32(prod(m.kernel))
    return Conv2d(weight=weight, stride=m.stride, padding=m.padding, groups=n_channels)


def _is_integer(m: Map) -> bool:
    if isinstance(m, (BatchNorm, AveragePool2d, SumPool2d)):
        return isinstance(m, SumPool2d)
    arrays = (getattr(m, name, None) for name in ("weight", "weights", "scale", "bias", "shift"))
    return all(a is None or a.dtype.kind in "iu" for a in arrays)


def _diagonal(values: Array) -> Matrix:
    n = len(values)
    return scipy.sparse.csr_array((values.copy(), np.arange(n), np.arange(n + 1)), shape=(n, n))


def _convolution(m: Conv2d, input_shape: Shape, output_shape: Shape) -> Matrix:
    weight = m.weight if m.mask is None else m.weight * m.mask
    out_channel, in_channel, ky, kx = np.nonzero(weight)
    value = weight[out_channel, in_channel, ky, kx]
    in_channel = in_channel + (out_channel // (weight.shape[0] // m.groups)) * weight.shape[1]
    (_, h_in, w_in), (_, h_out, w_out) = input_shape, output_shape
    y = np.arange(h_out)[None, :] * m.stride[0] - m.padding[0] + (ky * m.dilation[0])[:, None]
    x = np.arange(w_out)[None, :] * m.stride[1] - m.padding[1] + (kx * m.dilation[1])[:, None]
    inside = ((y >= 0) & (y < h_in))[:, :, None] & ((x >= 0) & (x < w_in))[:, None, :]
    tap, out_y, out_x = np.nonzero(inside)
    post = (out_channel[tap] * h_out + out_y) * w_out + out_x
    pre = (in_channel[tap] * h_in + y[tap, out_y]) * w_in + x[tap, out_x]
    shape = (prod(output_shape), prod(input_shape))
    return scipy.sparse.coo_array((value[tap], (post, pre)), shape=shape).tocsr()
