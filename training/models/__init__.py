"""Models by name: functions that return an artificial network (ReLU populations) with random weights, in the IR.

Every one takes (input_shape, n_classes, *, seed, mean, std); mlp and convnet take sizes as well.
"""

from collections.abc import Callable

from ...compiler import Network
from .convnet import convnet as convnet
from .mlp import mlp as mlp
from .vgg import vgg5 as vgg5
from .vgg import vgg11 as vgg11
from .vgg import vgg16 as vgg16

MODELS: dict[str, Callable[..., Network]] = {
    "mlp": mlp,
    "convnet": convnet,
    "vgg5": vgg5,
    "vgg11": vgg11,
    "vgg16": vgg16,
}
