"""The canonical form of a connection, which lowering accepts: [tiling sum pool,] one weight map without bias."""

from dataclasses import replace

from .arrays import Array
from .errors import CompileError
from .ir import Connection
from .maps import Conv2d, Dense, Map, Scale, Sparse, SumPool2d, WeightMap


def is_canonical(maps: tuple[Map, ...]) -> bool:
    """True for [tiling SumPool2d,] Dense | Conv2d | Sparse | Scale, without bias or mask."""
    if len(maps) == 2 and isinstance(maps[0], SumPool2d) and maps[0].tiles:
        maps = maps[1:]
    if len(maps) != 1:
        return False
    m = maps[0]
    if isinstance(m, (Dense, Conv2d)):
        return m.bias is None and m.mask is None
    return isinstance(m, Sparse) or (isinstance(m, Scale) and m.shift is None)


def weight_map(connection: Connection) -> WeightMap:
    """The weight map of a connection in canonical form."""
    m = connection.maps[-1] if is_canonical(connection.maps) else None
    if not isinstance(m, (Dense, Conv2d, Sparse, Scale)):
        raise CompileError(
            "GSM-301",
            "connection is not in the form that this step takes",
            where=connection.name,
            found=" -> ".join(type(m).__name__ for m in connection.maps) or "no maps",
            remedy="run compose_maps first",
        )
    return m


def weights_of(m: WeightMap) -> Array:
    """The array that holds the weights."""
    return m.weights if isinstance(m, Sparse) else m.scale if isinstance(m, Scale) else m.weight


def with_weights(m: WeightMap, weights: Array) -> WeightMap:
    """The same map with other weights of the same shape."""
    if isinstance(m, Sparse):
        return replace(m, weights=weights)
    return replace(m, scale=weights) if isinstance(m, Scale) else replace(m, weight=weights)
