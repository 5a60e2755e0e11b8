"""Maps as sparse matrices, against torch."""

from math import prod

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import batch_norm, chains, dyadic, sparse

from gossamer.compiler import AveragePool2d, BatchNorm, Conv2d, Dense, Scale, Sparse, SumPool2d
from gossamer.compiler.matrix import chain_to_matrix, matrix_to_sparse, to_matrix

SHAPE = (4, 6, 5)


def by_torch(m, x):
    """What torch makes of (n, *shape)."""
    tensors = {}
    for name in ("weight", "bias", "mask", "mean", "variance", "gamma", "beta", "scale", "shift"):
        array = getattr(m, name, None)
        tensors[name] = None if array is None else torch.tensor(array)
    match m:
        case Dense():
            weight = tensors["weight"] if m.mask is None else tensors["weight"] * tensors["mask"]
            return F.linear(x.flatten(1), weight, tensors["bias"])
        case Conv2d():
            weight = tensors["weight"] if m.mask is None else tensors["weight"] * tensors["mask"]
            return F.conv2d(x, weight, tensors["bias"], m.stride, m.padding, m.dilation, m.groups)
        case BatchNorm():
            statistics = (tensors["mean"], tensors["variance"], tensors["gamma"], tensors["beta"])
            return F.batch_norm(x, *statistics, training=False, eps=m.eps)
        case AveragePool2d():
            return F.avg_pool2d(x, m.kernel, m.stride, m.padding, count_include_pad=True)
        case SumPool2d():
            return F.avg_pool2d(x, m.kernel, m.stride, m.padding, divisor_override=1)
        case Scale():
            per_channel = {name: a if a is None or a.ndim != 1 else a[:, None, None] for name, a in tensors.items()}
            y = x * per_channel["scale"]
            return y if m.shift is None else y + per_channel["shift"]


def conv(rng, groups=1, **options):
    weight = sparse(rng, (8, 4 // groups, 3, 2))
    return Conv2d(weight=weight, bias=dyadic(rng, (8,)), groups=groups, mask=rng.random(weight.shape) < 0.7, **options)


MAPS = [
    lambda rng: Dense(weight=sparse(rng, (7, prod(SHAPE))), bias=dyadic(rng, (7,))),
    lambda rng: Dense(weight=sparse(rng, (7, prod(SHAPE))), mask=rng.random((7, prod(SHAPE))) < 0.5),
    lambda rng: conv(rng),
    lambda rng: conv(rng, stride=(2, 1), padding=(1, 2)),
    lambda rng: conv(rng, groups=2, dilation=(1, 3), padding=3),
    lambda rng: conv(rng, groups=4, stride=3),
    lambda rng: batch_norm(rng, 4),
    lambda rng: Scale(scale=dyadic(rng, (4,)), shift=dyadic(rng, (4,))),
    lambda rng: Scale(scale=2.0, shift=dyadic(rng, SHAPE)),
    lambda rng: AveragePool2d(kernel=2, stride=2),
    lambda rng: AveragePool2d(kernel=(3, 2), stride=(1, 2), padding=1),
    lambda rng: SumPool2d(kernel=3, stride=2, padding=1),
    lambda rng: SumPool2d(kernel=(2, 3), stride=(3, 3)),
]


@pytest.mark.parametrize("make", MAPS)
def test_a_map_as_a_matrix_computes_what_torch_computes(make):
    rng = np.random.default_rng(1)
    m = make(rng)
    x = dyadic(rng, (5, *SHAPE))
    matrix, bias = to_matrix(m, SHAPE)
    y = x.reshape(5, -1) @ matrix.T.toarray() + bias
    expected = by_torch(m, torch.tensor(x)).numpy()
    np.testing.assert_allclose(y, expected.reshape(5, -1), atol=1e-6)
    assert m.output_shape(SHAPE) == expected.shape[1:]
    assert (matrix.data != 0).all()


@settings(max_examples=150)
@given(st.data(), st.integers(0, 2**32 - 1))
def test_a_chain_as_one_matrix_computes_what_torch_computes(data, seed):
    rng = np.random.default_rng(seed)
    shape = data.draw(st.sampled_from([(2, 5, 4), (1, 3, 7), (6,)]))
    maps, after = data.draw(chains(rng, shape))
    x = dyadic(rng, (3, *shape))
    matrix, bias, output_shape = chain_to_matrix(maps, shape)
    expected = torch.tensor(x)
    for m in maps:
        expected = by_torch(m, expected)
    np.testing.assert_array_equal(x.reshape(3, -1) @ matrix.T.toarray() + bias, expected.flatten(1).numpy())
    assert output_shape == after == tuple(expected.shape[1:])


def test_whole_numbers_stay_whole():
    rng = np.random.default_rng(2)
    weight = rng.integers(-128, 128, (3, 2, 2, 2)).astype(np.int8)
    maps = (SumPool2d(kernel=2, stride=1), Conv2d(weight=weight, bias=np.array([1, 2, 3])), Scale(scale=np.int16(300)))
    matrix, bias, _ = chain_to_matrix(maps, (2, 5, 5))
    assert (matrix.dtype, bias.dtype) == (np.int64, np.int64)
    x = rng.integers(0, 2, (2, 5, 5))
    pooled = sum(x[:, i : i + 4, j : j + 4] for i in range(2) for j in range(2))
    windows = np.lib.stride_tricks.sliding_window_view(pooled, (2, 2), (1, 2))
    expected = 300 * (np.einsum("cyxij,ocij->oyx", windows, weight.astype(np.int64)) + np.array([[[1]], [[2]], [[3]]]))
    np.testing.assert_array_equal(matrix @ x.ravel() + bias, expected.ravel())


def test_a_matrix_becomes_a_sparse_map_and_back():
    rng = np.random.default_rng(3)
    dense = sparse(rng, (6, 9))
    m = matrix_to_sparse(to_matrix(Dense(weight=dense), (9,))[0], (6,))
    assert isinstance(m, Sparse)
    assert m.weights.size == np.count_nonzero(dense)
    np.testing.assert_array_equal(to_matrix(m, (9,))[0].toarray(), dense)


def test_taps_that_cancel_leave_no_synapse():
    together = Conv2d(weight=np.array([[[[1.0]], [[-1.0]]]], np.float32))
    copies = Conv2d(weight=np.ones((2, 1, 1, 1), np.float32))
    matrix, _, _ = chain_to_matrix((copies, together), (1, 2, 2))
    assert matrix.nnz == 0
