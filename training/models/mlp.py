"""A multi-layer perceptron."""

from collections.abc import Sequence

import numpy as np

from ...compiler import Network, Shape
from .layers import Builder


def mlp(
    input_shape: Shape,
    n_classes: int,
    *,
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    hidden: Sequence[int] = (128,),
    batch_norm: bool = True,
) -> Network:
    """Dense layers of the given sizes with ReLU, then the readout.

    Args:
        input_shape: (channels, height, width).
        n_classes: Outputs.
        seed: Of the weights.
        mean, std: Per channel, of pixels in [0, 1].
        hidden: Neurons per hidden layer.
        batch_norm: After each hidden layer.
    """
    builder = Builder(input_shape=input_shape, rng=np.random.default_rng(seed), batch_norm=batch_norm)
    builder.normalise(mean, std)
    for i, n in enumerate(hidden, 1):
        builder.dense(f"fc{i}", n)
    builder.read_out(n_classes)
    return builder.network("mlp")
