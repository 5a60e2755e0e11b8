"""Turn average pooling into sum pooling and smaller weights."""

from dataclasses import replace
from math import prod

import numpy as np

from ..ir import Network
from ..maps import AveragePool2d, Conv2d, Dense, Map, Scale, SumPool2d


def fuse_average_pooling(network: Network) -> Network:
    """Divide the weights after an average pooling by its window, leaving a sum. Exact up to rounding.

    The sum is over binary spikes, so nothing multiplies. A tiling sum pool costs nothing: lowering reads the pooled
    pixel of a spike from its address. Overlapping pools are sums too; `compose_maps` then multiplies them out.
    """
    return replace(network, connections=tuple(replace(c, maps=_fuse(c.maps)) for c in network.connections))


def _fuse(maps: tuple[Map, ...]) -> tuple[Map, ...]:
    fused: list[Map] = []
    divisor = 1
    for m in maps:
        if isinstance(m, AveragePool2d):
            fused.append(SumPool2d(kernel=m.kernel, stride=m.stride, padding=m.padding))
            divisor *= prod(m.kernel)
        elif divisor > 1 and isinstance(m, (Dense, Conv2d)):
            fused.append(replace(m, weight=(m.weight / np.float32(divisor)).astype(np.float32)))
            divisor = 1
        elif divisor > 1 and not isinstance(m, SumPool2d):
            fused += [Scale(scale=np.asarray(1 / divisor, np.float32)), m]
            divisor = 1
        else:
            fused.append(m)
    if divisor > 1:
        fused.append(Scale(scale=np.asarray(1 / divisor, np.float32)))
    return tuple(fused)
