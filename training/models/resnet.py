"""Residual networks with the activation after the sum."""

from collections.abc import Sequence

import numpy as np

from ...compiler import Map, Network, Scale, Shape
from .layers import Builder

HALF = np.asarray(0.5, np.float32)


def resnet20(
    input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float], width: int = 16
) -> Network:
    """ResNet-20: three stages of three blocks. See `resnet`."""
    return resnet(3, input_shape, n_classes, seed=seed, mean=mean, std=std, width=width, name="resnet20")


def resnet32(
    input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float], width: int = 16
) -> Network:
    """ResNet-32: three stages of five blocks. See `resnet`."""
    return resnet(5, input_shape, n_classes, seed=seed, mean=mean, std=std, width=width, name="resnet32")


def resnet(
    n_blocks: int,
    input_shape: Shape,
    n_classes: int,
    *,
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    width: int,
    name: str,
) -> Network:
    """A convolution, three stages of `n_blocks` basic blocks, global average pooling, the readout.

    A block on spikes x: a = act(norm(conv x)), y = act(w0 shortcut(x) + w1 norm(conv a)). The two weights are trained
    and begin at 1/2. The second and third stage begin with stride 2 and twice the channels; there the shortcut is a 1x1
    convolution with batch norm, elsewhere x itself. The sum is what the population of y receives: two connections, each
    ending in its weight, so nothing but spikes travels once the network is converted.

    Args:
        n_blocks: Per stage; depth is 6 n_blocks + 2.
        input_shape: (channels, height, width).
        n_classes: Outputs.
        seed: Of the weights.
        mean, std: Per channel, of pixels in [0, 1].
        width: Channels of the first stage; 16 in the source.
        name: Of the network.
    Source: He et al. 2016, with the join of Özdenizci & Legenstein 2024 (code).
    """
    builder = Builder(input_shape=input_shape, rng=np.random.default_rng(seed))
    builder.normalise(mean, std)
    builder.convolution("stem", width, 3)
    for stage in range(3):
        for block in range(n_blocks):
            stride = 2 if stage and not block else 1
            _block(builder, f"block{stage + 1}.{block + 1}", width << stage, stride)
    builder.pool_everything()
    builder.read_out(n_classes)
    return builder.network(name)


def _block(builder: Builder, name: str, n_out: int, stride: int) -> None:
    source, n_in = builder.populations[-1].name, builder.shape[0]
    builder.convolution(f"{name}a", n_out, 3, stride)
    shortcut: list[Map] = []
    if stride != 1 or n_in != n_out:
        shortcut = [builder.kernels(n_in, n_out, 1, stride), builder.norm(n_out)]
    residual: list[Map] = [builder.kernels(n_out, n_out, 3), builder.norm(n_out)]
    builder.add(
        f"{name}b",
        [(f"{name}a", [*residual, Scale(scale=HALF)]), (source, [*shortcut, Scale(scale=HALF)])],
    )
