"""Small networks for tests, and what tests say about them."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from gossamer.compiler import (
    AveragePool2d,
    BatchNorm,
    CompileError,
    Connection,
    Conv2d,
    Dense,
    Network,
    Population,
    Scale,
    integrate_and_fire,
)


def small_convolutional(seed=0):
    """input 3x8x8 -> conv 4 -> average pool, conv 6 -> average pool, dense 10; arbitrary float weights."""
    rng = np.random.default_rng(seed)

    def kernels(c_out, c_in):
        return rng.normal(0, 0.3, (c_out, c_in, 3, 3)).astype(np.float32)

    norm = BatchNorm(
        mean=rng.normal(0, 0.1, 4), variance=rng.uniform(0.5, 2, 4), gamma=np.ones(4), beta=np.full(4, 0.1)
    )
    pool = AveragePool2d(kernel=(2, 2), stride=(2, 2))
    return Network(
        name="small",
        populations=(
            Population(name="in", shape=(3, 8, 8), kind="input"),
            Population(name="conv1", shape=(4, 8, 8), neuron=integrate_and_fire(1.0)),
            Population(name="conv2", shape=(6, 4, 4), neuron=integrate_and_fire(1.0, reset="zero")),
            Population(name="out", shape=(10,), kind="readout"),
        ),
        connections=(
            Connection(
                source="in",
                target="conv1",
                maps=(
                    Scale(scale=np.array([2.0, 3.0, 4.0]), shift=np.array([0.1, -0.2, 0.3])),
                    Conv2d(weight=kernels(4, 3), padding=(1, 1)),
                    norm,
                ),
            ),
            Connection(
                source="conv1",
                target="conv2",
                maps=(pool, Conv2d(weight=kernels(6, 4), padding=(1, 1), bias=np.full(6, 0.1))),
            ),
            Connection(
                source="conv2", target="out", maps=(pool, Dense(weight=rng.normal(0, 1, (10, 24)), bias=np.zeros(10)))
            ),
        ),
        output="out",
        n_steps=8,
    )


def joined(maps, shape, target, *, kind="spiking", neuron=None, bias=0.0, n_steps=4, unit=1.0, delay=0, **options):
    """input "in" of `shape` -> maps -> population "p" of shape `target`."""
    if neuron is None and kind == "spiking":
        neuron = integrate_and_fire(1.0)
    return Network(
        name="joined",
        populations=(
            Population(name="in", shape=shape, kind="input"),
            Population(name="p", shape=target, kind=kind, neuron=neuron, bias=np.asarray(bias), unit=np.asarray(unit)),
        ),
        connections=(Connection(source="in", target="p", maps=tuple(maps), delay=delay),),
        output="p",
        n_steps=n_steps,
        **options,
    )


def refusal(build, code, *, error=CompileError):
    """The refusal that `build` runs into, which has this code."""
    with pytest.raises(error) as caught:
        build()
    assert caught.value.code == code, caught.value
    return caught.value


def assert_identical(a, b, where=""):
    """Equal in every field, dtype, shape and bit; metadata but for the digest of a file."""
    assert type(a) is type(b), where
    if is_dataclass(a):
        for f in fields(a):
            assert_identical(getattr(a, f.name), getattr(b, f.name), f"{where}.{f.name}")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), where
    elif isinstance(a, tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_identical(x, y, f"{where}[{i}]")
    elif isinstance(a, dict):
        assert a.keys() - {"sha256"} == b.keys() - {"sha256"}, where
        for key in a.keys() - {"sha256"}:
            assert_identical(a[key], b[key], f"{where}[{key!r}]")
    else:
        assert a == b, where
