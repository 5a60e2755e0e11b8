"""Checkpoints: a trained network with all it takes to evaluate, compile or go on training it."""

from pathlib import Path

from .arrays import Array
from .container import read_container, write_container
from .errors import CompileError
from .ir import Connection, InputCoding, Network, Population
from .maps import AveragePool2d, BatchNorm, Conv2d, Dense, Scale, Sparse, SumPool2d
from .neurons import Neuron
from .records import decode, encode

CHECKPOINT_VERSION = 1
REGISTRY: dict[str, type] = {
    c.__name__: c
    for c in (
        Network, Population, Connection, InputCoding, Neuron, Dense, Conv2d, Sparse, Scale, BatchNorm, AveragePool2d,
        SumPool2d,
    )
}  # fmt: skip


def save_checkpoint(network: Network, path: str | Path) -> str:
    """Write a network atomically; return its digest. Format: docs/reference/formats.md."""
    arrays: dict[str, Array] = {}
    record = encode(network, "network", arrays)
    return write_container(path, "checkpoint", CHECKPOINT_VERSION, {"network": record}, arrays)


def load_checkpoint(path: str | Path) -> Network:
    """Read and verify a network.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer or damaged; GSM-2xx for bad contents.
    """
    header, arrays, digest = read_container(path, "checkpoint", CHECKPOINT_VERSION)
    network = decode(header.get("network"), arrays, REGISTRY, where=str(path))
    if not isinstance(network, Network):
        raise CompileError("GSM-105", "the header holds no network", where=str(path))
    network.metadata["sha256"] = digest
    return network
