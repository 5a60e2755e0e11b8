"""A plain convolutional network, VGG's pattern at any size."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...compiler import AveragePool2d, Network, Shape
from .layers import Builder


def convnet(
    input_shape: Shape,
    n_classes: int,
    *,
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    channels: Sequence[int | Literal["A"]] = (16, 32, "A"),
    hidden: Sequence[int] = (64,),
    kernel: int = 3,
    batch_norm: bool = True,
    dense_batch_norm: bool = True,
    pool_everything: bool = False,
    name: str = "convnet",
) -> Network:
    """Convolutions with batch norm and ReLU, 2x2 average pooling at "A", then dense layers.

    Convolutions have stride 1, "same" padding and no bias. Pooling stands after the activation, as the first map of
    the next connection: there it averages spikes once the network is converted, and it is linear, so compiling fuses
    it into the weights.

    Args:
        input_shape: (channels, height, width).
        n_classes: Outputs.
        seed: Of the weights.
        mean, std: Per channel, of pixels in [0, 1].
        channels: Output channels of each convolution, or "A".
        hidden: Neurons of the dense layers between the convolutions and the readout.
        kernel: Height and width of every kernel, odd.
        batch_norm: After each layer but the readout.
        dense_batch_norm: False leaves it out after dense layers.
        pool_everything: Average over the whole picture before the dense layers.
    Raises: CompileError: GSM-201 if the picture is too small for so many poolings.
    """
    builder = Builder(input_shape=input_shape, rng=np.random.default_rng(seed), batch_norm=batch_norm)
    builder.normalise(mean, std)
    n_convolutions = 0
    for item in channels:
        if item == "A":
            builder.waiting.append(AveragePool2d(kernel=(2, 2), stride=(2, 2)))
        else:
            n_convolutions += 1
            builder.convolution(f"conv{n_convolutions}", item, kernel)
    builder.batch_norm = batch_norm and dense_batch_norm
    if pool_everything:
        builder.pool_everything()
    for i, n in enumerate(hidden, 1):
        builder.dense(f"fc{i}", n)
    builder.read_out(n_classes)
    return builder.network(name)
