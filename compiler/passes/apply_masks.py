"""Multiply pruning masks into the weights."""

from dataclasses import replace

from ..ir import Network
from ..maps import Conv2d, Dense


def apply_masks(network: Network) -> Network:
    """Set masked weights to zero and drop the masks. Exact."""
    connections = []
    for connection in network.connections:
        maps = [
            replace(m, weight=m.weight * m.mask, mask=None)
            if isinstance(m, (Dense, Conv2d)) and m.mask is not None
            else m
            for m in connection.maps
        ]
        connections.append(replace(connection, maps=tuple(maps)))
    return replace(network, connections=tuple(connections))
