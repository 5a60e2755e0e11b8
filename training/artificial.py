"""From a spiking network back to an artificial one: where an attack may take gradients from."""

from dataclasses import replace

from ..compiler import Connection, Dense, InputCoding, Network, Sparse
from .errors import TrainingError


def as_artificial(network: Network) -> Network:
    """The network with a ReLU for every spiking population, one step, the image itself as input, and no delays. Lossy.

    Weights, masks, biases and batch norm stay as they are, and thresholds have no part in it. It is no good classifier
    where spikes have taken the network far from the artificial one it came from; its gradient is smooth and is not
    hidden by a surrogate, so an image that fools it may fool the spiking network too.

    Args:
        network: In float32 arithmetic.
    Raises: TrainingError: GSM-608 for integer arithmetic or an input of events.
    Source: Özdenizci & Legenstein 2024 (code: T = 0).
    """
    if network.arithmetic == "int" or network.coding.kind == "events":
        raise TrainingError(
            "GSM-608",
            "no artificial network has the same weights",
            where=network.name,
            found=f"{network.arithmetic} arithmetic, {network.coding.kind} input",
            expected="float32 arithmetic and an input of values in [0, 1]",
            remedy="use the float network before it is quantized",
        )
    populations = tuple(replace(p, kind="relu", neuron=None) if p.kind == "spiking" else p for p in network.populations)
    return replace(
        network,
        populations=populations,
        connections=tuple(_at_once(c) for c in network.connections),
        coding=InputCoding(),
        n_steps=1,
        reset_between_samples=True,
    )


def _at_once(connection: Connection) -> Connection:
    """Without delays: in one step, nothing that is late would arrive."""
    maps = tuple(
        replace(m, delays=None) if isinstance(m, (Dense, Sparse)) and m.delays is not None else m
        for m in connection.maps
    )
    return replace(connection, maps=maps, delay=0)
