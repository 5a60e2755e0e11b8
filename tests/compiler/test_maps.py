"""Maps: the shapes that they lead to, and what they refuse."""

import numpy as np
import pytest
from networks import refusal

from gossamer.compiler import AveragePool2d, BatchNorm, Conv2d, Dense, Scale, Sparse, SumPool2d, broadcast

KERNELS = np.ones((6, 2, 3, 5), np.float32)


def ones(*shape):
    return np.ones(shape, np.float32)


def sparse(row_start=(0, 1, 3), targets=(0, 0, 2), weights=(1.0, 2.0, 3.0), shape=(3,), **options):
    return Sparse(
        row_start=np.array(row_start), targets=np.array(targets), weights=np.array(weights), shape=shape, **options
    )


@pytest.mark.parametrize(
    ("m", "shape", "expected"),
    [
        (Dense(weight=ones(3, 4)), (4,), (3,)),
        (Dense(weight=ones(3, 4)), (1, 2, 2), (3,)),
        (Conv2d(weight=KERNELS), (2, 9, 8), (6, 7, 4)),
        (Conv2d(weight=KERNELS, stride=2, padding=1), (2, 9, 8), (6, 5, 3)),
        (Conv2d(weight=KERNELS, stride=(3, 1), padding=(0, 4), dilation=(2, 2)), (2, 9, 8), (6, 2, 8)),
        (Conv2d(weight=KERNELS, groups=3), (6, 3, 5), (6, 1, 1)),
        (Conv2d(weight=KERNELS, groups=np.int64(3)), (6, 3, 5), (6, 1, 1)),
        (sparse(), (2,), (3,)),
        (sparse(), (1, 1, 2), (3,)),
        (sparse(shape=(1, 3, 1)), (2,), (1, 3, 1)),
        (BatchNorm(mean=ones(2), variance=ones(2), gamma=ones(2), beta=ones(2)), (2, 4, 4), (2, 4, 4)),
        (BatchNorm(mean=ones(2), variance=ones(2), gamma=ones(2), beta=ones(2)), (2,), (2,)),
        (Scale(scale=2.0), (2, 4, 4), (2, 4, 4)),
        (Scale(scale=ones(2), shift=ones(2, 1, 1)), (2, 4, 4), (2, 4, 4)),
        (Scale(scale=ones(2, 4, 4)), (2, 4, 4), (2, 4, 4)),
        (AveragePool2d(kernel=2, stride=2), (3, 5, 4), (3, 2, 2)),
        (SumPool2d(kernel=(3, 2), stride=(1, 2), padding=(1, 1)), (3, 5, 4), (3, 5, 3)),
    ],
)
def test_a_map_leads_to_the_shape_that_it_should(m, shape, expected):
    assert m.output_shape(shape) == expected


@pytest.mark.parametrize(
    ("m", "shape"),
    [
        (Dense(weight=ones(3, 4)), (5,)),
        (Conv2d(weight=KERNELS), (3, 9, 9)),
        (Conv2d(weight=KERNELS), (2,)),
        (Conv2d(weight=KERNELS), (2, 2, 9)),
        (Conv2d(weight=KERNELS, dilation=(5, 1)), (2, 10, 9)),
        (sparse(), (3,)),
        (BatchNorm(mean=ones(2), variance=ones(2), gamma=ones(2), beta=ones(2)), (3, 4, 4)),
        (Scale(scale=ones(3)), (2, 4, 4)),
        (Scale(scale=1.0, shift=ones(2, 4)), (2, 4, 4)),
        (AveragePool2d(kernel=2, stride=2), (8,)),
        (SumPool2d(kernel=3, stride=3), (1, 2, 9)),
    ],
)
def test_a_map_refuses_an_input_that_does_not_fit(m, shape):
    refusal(lambda: m.output_shape(shape), "GSM-201")


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: Dense(weight=ones(3)), "GSM-201"),
        (lambda: Dense(weight=ones(3, 4), bias=ones(4)), "GSM-201"),
        (lambda: Dense(weight=ones(3, 4), mask=ones(3, 4)), "GSM-201"),
        (lambda: Dense(weight=ones(3, 4), mask=np.ones((4, 3), bool)), "GSM-201"),
        (lambda: Dense(weight=[["a"]]), "GSM-201"),
        (lambda: Dense(weight=[[1.0], [1.0, 2.0]]), "GSM-201"),
        (lambda: Dense(weight=np.ones((2, 2), bool)), "GSM-201"),
        (lambda: Dense(weight=np.ones((2, 2), complex)), "GSM-201"),
        (lambda: Dense(weight=[[np.nan]]), "GSM-202"),
        (lambda: Dense(weight=[[np.inf]]), "GSM-202"),
        (lambda: Dense(weight=[[1e39]]), "GSM-202"),
        (lambda: Dense(weight=ones(1, 1), bias=[-np.inf]), "GSM-202"),
        (lambda: Dense(weight=ones(2, 2), delays=ones(2, 2)), "GSM-203"),
        (lambda: Dense(weight=ones(2, 2), delays=np.array([[0, 1], [2, -1]])), "GSM-203"),
        (lambda: Dense(weight=ones(2, 2), delays=np.array([[0, 1], [2, 65536]])), "GSM-203"),
        (lambda: Dense(weight=ones(2, 2), delays=np.zeros(4, int)), "GSM-203"),
        (lambda: Conv2d(weight=ones(3, 3)), "GSM-201"),
        (lambda: Conv2d(weight=ones(1, 1, 0, 3)), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, groups=4), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, groups=0), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, groups=1.5), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, stride=0), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, stride=(1, 1, 1)), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, padding=-1), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, padding=1.0), "GSM-201"),
        (lambda: Conv2d(weight=KERNELS, dilation=1 << 40), "GSM-201"),
        (lambda: sparse(row_start=(0, 3)).output_shape((2,)), "GSM-201"),
        (lambda: sparse(row_start=(0.0, 1.0, 3.0)), "GSM-201"),
        (lambda: sparse(row_start=(1, 1, 3)), "GSM-201"),
        (lambda: sparse(row_start=(0, 2, 1)), "GSM-201"),
        (lambda: sparse(row_start=(0, 1, 2)), "GSM-201"),
        (lambda: sparse(row_start=()), "GSM-201"),
        (lambda: sparse(row_start=(0, 2**63 - 1, -2, 3)), "GSM-201"),
        (lambda: sparse(targets=(0, 0, 3)), "GSM-201"),
        (lambda: sparse(targets=(0, -1, 2)), "GSM-201"),
        (lambda: sparse(targets=(0, 2, 0)), "GSM-201"),
        (lambda: sparse(targets=(0, 2, 2)), "GSM-201"),
        (lambda: sparse(targets=(0, 2)), "GSM-201"),
        (lambda: sparse(targets=(0.0, 0.0, 2.0)), "GSM-201"),
        (lambda: sparse(weights=(1.0, np.nan, 1.0)), "GSM-202"),
        (lambda: sparse(weights=((1.0,), (1.0,), (1.0,)), targets=((0,), (0,), (2,))), "GSM-201"),
        (lambda: sparse(delays=np.array([0, 1])), "GSM-203"),
        (lambda: sparse(shape=(3.5,)), "GSM-201"),
        (lambda: BatchNorm(mean=ones(2), variance=-ones(2), gamma=ones(2), beta=ones(2)), "GSM-203"),
        (lambda: BatchNorm(mean=ones(2), variance=0 * ones(2), gamma=ones(2), beta=ones(2), eps=0), "GSM-203"),
        (lambda: BatchNorm(mean=ones(2), variance=ones(2), gamma=ones(2), beta=ones(2), eps=np.nan), "GSM-203"),
        (lambda: BatchNorm(mean=ones(2), variance=ones(3), gamma=ones(2), beta=ones(2)), "GSM-201"),
        (lambda: Scale(scale=np.nan), "GSM-202"),
        (lambda: AveragePool2d(kernel=0, stride=1), "GSM-201"),
        (lambda: SumPool2d(kernel=2, stride=2, padding=2), "GSM-201"),
    ],
)
def test_a_map_that_makes_no_sense_cannot_be_built(build, code):
    refusal(build, code)


def test_a_map_keeps_a_copy_that_nobody_can_write_to():
    weight = ones(1, 1)
    m = Dense(weight=weight)
    weight[:] = np.nan
    assert m.weight == 1
    with pytest.raises(ValueError, match="read-only"):
        m.weight[:] = 2


def test_numbers_of_any_width_and_byte_order_become_native():
    assert Dense(weight=np.ones((1, 1), ">f8")).weight.dtype == np.float32
    assert Dense(weight=np.ones((1, 1), ">i4")).weight.dtype == np.int32


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array(5.0), [[[5, 5], [5, 5]], [[5, 5], [5, 5]]]),
        (np.array([1.0, 2.0]), [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]),
        (np.arange(8.0).reshape(2, 2, 2), [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    ],
)
def test_one_number_is_for_all_and_one_a_channel_for_each_channel(array, expected):
    np.testing.assert_array_equal(broadcast(array, (2, 2, 2), where="test"), expected)


def test_one_number_a_column_is_refused_rather_than_broadcast():
    refusal(lambda: broadcast(np.ones((1, 1, 2)), (3, 2, 2), where="test"), "GSM-201")
