"""Models by name: functions that return an artificial network (ReLU populations) with random weights, in the IR.

Every one takes (input_shape, n_classes, *, seed, mean, std); all but the VGGs take sizes as well.
"""

from collections.abc import Callable

from ...compiler import Network
from .convnet import convnet as convnet
from .mlp import mlp as mlp
from .resnet import resnet20 as resnet20
from .resnet import resnet32 as resnet32
from .vgg import vgg5 as vgg5
from .vgg import vgg11 as vgg11
from .vgg import vgg11_tin as vgg11_tin
from .vgg import vgg16 as vgg16
from .wide_resnet import wrn16_4 as wrn16_4
from .wide_resnet import wrn28_4 as wrn28_4

MODELS: dict[str, Callable[..., Network]] = {
    "mlp": mlp,
    "convnet": convnet,
    "vgg5": vgg5,
    "vgg11": vgg11,
    "vgg11-tin": vgg11_tin,
    "vgg16": vgg16,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "wrn16-4": wrn16_4,
    "wrn28-4": wrn28_4,
}
