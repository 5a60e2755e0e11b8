"""Checkpoints: a trained network with all it takes to evaluate, compile or go on training it."""

from pathlib import Path

from .errors import CompileError
from .ir import Connection, InputCoding, Network, Population
from .maps import AveragePool2d, BatchNorm, Conv2d, Dense, Scale, Sparse, SumPool2d
from .neurons import Neuron
from .packing import pack
from .records import load_record, save_record

CHECKPOINT_VERSION = 2
PARTS = (Network, Population, Connection, InputCoding, Neuron)
MAPS = (Dense, Conv2d, Sparse, Scale, BatchNorm, AveragePool2d, SumPool2d)
REGISTRY: dict[str, type] = {c.__name__: c for c in (*PARTS, *MAPS)}


def save_checkpoint(network: Network, path: str | Path) -> str:
    """Write a network atomically; return its digest. Pruned weights take a bit each.

    Format: docs/reference/formats.md.
    """
    return save_record(network, path, "checkpoint", CHECKPOINT_VERSION, key="network", put=pack)


def load_checkpoint(path: str | Path) -> Network:
    """Read and verify a network.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer or damaged; GSM-2xx for bad contents.
    """
    network = load_record(path, "checkpoint", CHECKPOINT_VERSION, REGISTRY, key="network")
    if not isinstance(network, Network):
        raise CompileError("GSM-105", "the header holds no network", where=str(path), found=type(network).__name__)
    return network
