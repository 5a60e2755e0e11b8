"""Small fixed networks for tests."""

import numpy as np

from gossamer.compiler import (
    AveragePool2d, BatchNorm, Connection, Conv2d, Dense, Network, Population, Scale, integrate_and_fire,
)  # fmt: skip


def small_convolutional(seed=0):
    """input 3x8x8 -> conv 4 -> average pool, conv 6 -> average pool, dense 10; arbitrary float weights."""
    rng = np.random.default_rng(seed)

    def kernels(c_out, c_in):
        return rng.normal(0, 0.3, (c_out, c_in, 3, 3)).astype(np.float32)

    norm = BatchNorm(mean=rng.normal(0, 0.1, 4), variance=rng.uniform(0.5, 2, 4), gamma=np.ones(4), beta=np.full(4, 0.1))
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
                source="in", target="conv1",
                maps=(
                    Scale(scale=np.array([2.0, 3.0, 4.0]), shift=np.array([0.1, -0.2, 0.3])),
                    Conv2d(weight=kernels(4, 3), padding=(1, 1)), norm,
                ),
            ),
            Connection(
                source="conv1", target="conv2",
                maps=(pool, Conv2d(weight=kernels(6, 4), padding=(1, 1), bias=np.full(6, 0.1))),
            ),
            Connection(source="conv2", target="out", maps=(pool, Dense(weight=rng.normal(0, 1, (10, 24)), bias=np.zeros(10)))),
        ),
        output="out",
        n_steps=8,
    )  # fmt: skip
