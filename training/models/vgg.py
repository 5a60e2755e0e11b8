"""VGG with average pooling and two hidden dense layers, for 32x32 pictures and larger."""

from collections.abc import Sequence
from typing import Literal

from ...compiler import Network, Shape
from .convnet import convnet

CHANNELS: dict[int, tuple[int | Literal["A"], ...]] = {
    5: (64, "A", 128, 128, "A"),
    11: (64, "A", 128, 256, "A", 512, 512, 512, "A", 512, 512),
    16: (64, 64, "A", 128, 128, "A", 256, 256, 256, "A", 512, 512, 512, "A", 512, 512, 512, "A"),
}  # fmt: skip
HIDDEN = {5: (1024,), 11: (4096, 4096), 16: (4096, 4096)}


def vgg5(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-5: three convolutions, one hidden dense layer of 1024. The layout was chosen here; papers differ on it."""
    return _vgg(5, input_shape, n_classes, seed, mean, std)


def vgg11(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-11 with three poolings. Source: Özdenizci & Legenstein 2024 (code), without dropout."""
    return _vgg(11, input_shape, n_classes, seed, mean, std)


def vgg16(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-16 with five poolings. Source: Özdenizci & Legenstein 2024 (code), without dropout."""
    return _vgg(16, input_shape, n_classes, seed, mean, std)


def _vgg(
    depth: int, input_shape: Shape, n_classes: int, seed: int, mean: Sequence[float], std: Sequence[float]
) -> Network:
    return convnet(
        input_shape,
        n_classes,
        seed=seed,
        mean=mean,
        std=std,
        channels=CHANNELS[depth],
        hidden=HIDDEN[depth],
        name=f"vgg{depth}",
    )
