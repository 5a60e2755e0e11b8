"""Where the biases of a network go in NIR, which of its populations are flat there, and which delays are implicit."""

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Network
from ..maps import Dense, broadcast
from .nir_export_maps import Route, as_matrix, constant_route, with_bias
from .nir_loops import Pair, closing_pairs, in_order


def place_biases(network: Network, routes: list[Route]) -> tuple[list[Route], dict[str, Array]]:
    """Routes that hold the biases, and the biases on membranes behind a current, which v_leak holds, by population."""
    routes, v_leaks = list(routes), {}
    for p in network.populations:
        own: Array = broadcast(p.bias, p.shape, where=p.name).ravel().astype(np.float32)
        incoming = [i for i, route in enumerate(routes) if route.target == p.name]
        total = sum((r.bias.ravel() for i in incoming if (r := routes[i]).bias is not None), np.zeros_like(own))
        if p.neuron is not None and p.neuron.has_current and p.neuron.bias_target == "membrane":
            if own.any():
                v_leaks[p.name] = own.reshape(p.shape)
        else:
            total = total + own
        if total.any():
            _place(routes, incoming, total)
    return routes, v_leaks


def _place(routes: list[Route], incoming: list[int], bias: Array) -> None:
    """Put a bias into the first of these routes that can hold it, or beside one of them."""
    for i in incoming:
        carrying = with_bias(routes[i], bias)
        if carrying is not None:
            routes[i] = carrying
            return
    for i in incoming:
        if len(routes[i].output_shape) == 3:
            routes.append(constant_route(routes[i], bias))
            return
    first = incoming[0]
    routes[first] = with_bias(as_matrix(routes[first]), bias) or routes[first]


def flat_populations(network: Network, routes: list[Route]) -> set[str]:
    """Populations with a picture's shape that NIR sees flat, because a matrix leads to them.

    Raises:
        CompileError: GSM-304 where a picture is needed again behind them.
    """
    flat: set[str] = set()
    for p in network.populations:
        if len(p.shape) == 1 or all(len(r.output_shape) == 3 for r in routes if r.target == p.name):
            continue
        for route in routes:
            if route.source == p.name and not (route.maps and isinstance(route.maps[0], Dense)):
                follows = type(route.maps[0]).__name__ if route.maps else f"population {route.target!r}"
                raise CompileError(
                    "GSM-304", "NIR has no node that gives flat values a picture's shape",
                    where=f"population {p.name!r}", found=f"a matrix leads to {p.shape}, and {follows} follows",
                )  # fmt: skip
        flat.add(p.name)
    return flat


def implicit_delays(routes: list[Route], start: str) -> set[Pair]:
    """(source, target) whose delay of one step a reader adds by itself, because they close a loop (nir_loops).

    All other delays need a Delay node. If leaving out some of them would make a reader delay another connection,
    none is left out. Sources and targets are named as in the NIR graph.
    """
    order = in_order(start, [(r.source, r.target) for r in routes])
    now = {(r.source, r.target) for r in routes if r.delay == 0}
    later = {(r.source, r.target) for r in routes if r.delay == 1}
    closing = closing_pairs(order, now | later)
    sure = closing <= later - now and closing_pairs(order, now | closing) == closing
    return closing if sure else set()
