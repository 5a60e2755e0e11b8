"""VGG with average pooling and hidden dense layers."""

from collections.abc import Sequence
from typing import Literal

from ...compiler import Network, Shape
from .convnet import convnet

Layout = tuple[int | Literal["A"], ...]

VGG5: Layout = (64, "A", 128, 128, "A")
VGG11: Layout = (64, "A", 128, 256, "A", 512, 512, 512, "A", 512, 512)
VGG11_TIN: Layout = (64, "A", 128, "A", 256, 256, "A", 512, 512, "A", 512, 512)
VGG16: Layout = (64, 64, "A", 128, 128, "A", 256, 256, 256, "A", 512, 512, 512, "A", 512, 512, 512, "A")


def vgg5(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-5: three convolutions, one hidden dense layer of 1024. The layout was chosen here; papers differ on it."""
    return convnet(input_shape, n_classes, seed=seed, mean=mean, std=std, channels=VGG5, hidden=(1024,), name="vgg5")


def vgg11(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-11 with three poolings and two hidden dense layers, which have no batch norm.

    Source: Özdenizci & Legenstein 2024 (code), without dropout of the dense layers' outputs.
    """
    return convnet(
        input_shape, n_classes, seed=seed, mean=mean, std=std, channels=VGG11, hidden=(4096, 4096),
        dense_batch_norm=False, name="vgg11",
    )  # fmt: skip


def vgg11_tin(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-11 for Tiny-ImageNet's 64x64 pictures: four poolings, a global one, one hidden dense layer.

    Source: Özdenizci & Legenstein 2024 (code); the dense layer has no batch norm.
    """
    return convnet(
        input_shape, n_classes, seed=seed, mean=mean, std=std, channels=VGG11_TIN, hidden=(4096,),
        dense_batch_norm=False, pool_everything=True, name="vgg11-tin",
    )  # fmt: skip


def vgg16(input_shape: Shape, n_classes: int, *, seed: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """VGG-16 with five poolings and two hidden dense layers, which have no batch norm.

    Source: Özdenizci & Legenstein 2024 (code), without dropout of the dense layers' outputs.
    """
    return convnet(
        input_shape, n_classes, seed=seed, mean=mean, std=std, channels=VGG16, hidden=(4096, 4096),
        dense_batch_norm=False, name="vgg16",
    )  # fmt: skip
