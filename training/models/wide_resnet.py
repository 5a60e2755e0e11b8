"""Wide residual networks with the activation before the convolutions."""

from collections.abc import Sequence

import numpy as np

from ...compiler import Map, Network, Scale, Shape
from .layers import Builder

HALF = np.asarray(0.5, np.float32)
WIDEN = 4


def wrn16_4(
    input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float], width: int = 16
) -> Network:
    """WideResNet-16-4: three stages of two blocks. See `wide_resnet`."""
    return wide_resnet(2, input_shape, n_classes, seed=seed, mean=mean, std=std, width=width, name="wrn16-4")


def wrn28_4(
    input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float], width: int = 16
) -> Network:
    """WideResNet-28-4: three stages of four blocks. See `wide_resnet`."""
    return wide_resnet(4, input_shape, n_classes, seed=seed, mean=mean, std=std, width=width, name="wrn28-4")


def wide_resnet(
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
    """A convolution, three stages of `n_blocks` blocks, batch norm, activation, global average pooling, the readout.

    A block on the running sum x: a = act(norm x), b = act(norm(conv a)), y = w0 shortcut + w1 conv b. The two weights
    are trained and begin at 1/2. Stages have 4, 8 and 16 times `width` channels, and the last two begin with stride 2;
    in a stage's first block the shortcut is a 1x1 convolution of a, elsewhere it is x. So the running sum begins
    anew in each stage, from what activations emit.

    It is a population of kind "join" in each block, real-valued and linear. Compiling a converted network leads spikes
    past it (`expand_joins`), so that no real numbers travel: every later activation of a stage then gets the last
    convolution of each block before it. That is 5 convolutions of 3x3 in a stage instead of 4 for depth 16, and 14
    instead of 8 for depth 28, in synapses and synaptic operations.

    Args:
        n_blocks: Per stage; depth is 6 n_blocks + 4.
        input_shape: (channels, height, width).
        n_classes: Outputs.
        seed: Of the weights.
        mean, std: Per channel, of pixels in [0, 1].
        width: Channels of the first convolution; 16 in the source.
        name: Of the network.
    Source: Zagoruyko & Komodakis 2016, with the join of Özdenizci & Legenstein 2024 (code), whose last pooling is over
    8x8 pixels: the whole picture, where images have 32x32.
    """
    builder = Builder(input_shape=input_shape, rng=np.random.default_rng(seed))
    builder.normalise(mean, std)
    builder.waiting.append(builder.kernels(builder.shape[0], width, 3))
    for stage in range(3):
        for block in range(n_blocks):
            _block(builder, f"{stage + 1}.{block + 1}", WIDEN * width << stage, is_first=not block, stage=stage)
    builder.activation("last")
    builder.pool_everything()
    builder.read_out(n_classes)
    return builder.network(name)


def _block(builder: Builder, name: str, n_out: int, *, is_first: bool, stage: int) -> None:
    n_in, stride, running = builder.shape[0], 2 if is_first and stage else 1, builder.populations[-1].name
    builder.activation(f"block{name}a")
    builder.convolution(f"block{name}b", n_out, 3, stride)
    residual: tuple[str, list[Map]] = (f"block{name}b", [builder.kernels(n_out, n_out, 3), Scale(scale=HALF)])
    shortcut: tuple[str, list[Map]] = (running, [Scale(scale=HALF)])
    if is_first:
        shortcut = (f"block{name}a", [builder.kernels(n_in, n_out, 1, stride), Scale(scale=HALF)])
    builder.add(f"sum{name}", [residual, shortcut], kind="join")
