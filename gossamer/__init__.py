"""Gossamer: compile, simulate and price sparse, adversarially robust spiking neural networks.

    network = gossamer.load_checkpoint("digits.safetensors")
    graph = gossamer.compile(network, weight_bits=8)
    digits = gossamer.load_dataset("digits", "test")
    run = gossamer.simulate(graph, digits.images(), digits.y)
    print(run.accuracy, gossamer.energy(run, "loihi")["loihi"].per_sample_pj)

Names are imported when they are first used, so that `import gossamer` is light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import simulate_on_cluster
    from .compiler import load_checkpoint, load_graph, save_checkpoint
    from .energy_attacks import energy_attack
    from .hwmodels import EventCounts, GossamerError, list_chips, load_chip
    from .robustness import attack, audit, ensemble, minimal_eps, transfer
    from .simulator import load_activity, simulate
    from .studies import reproduce
    from .sweeps import sweep
    from .training.data import load_dataset
    from .verbs import compile, diff, energy, from_nir, to_nir, train

__all__ = [
    "EventCounts",
    "GossamerError",
    "attack",
    "audit",
    "compile",
    "diff",
    "energy",
    "energy_attack",
    "ensemble",
    "from_nir",
    "list_chips",
    "load_activity",
    "load_checkpoint",
    "load_chip",
    "load_dataset",
    "load_graph",
    "minimal_eps",
    "reproduce",
    "save_checkpoint",
    "simulate",
    "simulate_on_cluster",
    "sweep",
    "to_nir",
    "train",
    "transfer",
]

_HOME = {
    "EventCounts": "hwmodels",
    "GossamerError": "hwmodels",
    "attack": "robustness",
    "audit": "robustness",
    "compile": "verbs",
    "diff": "verbs",
    "energy": "verbs",
    "energy_attack": "energy_attacks",
    "ensemble": "robustness",
    "from_nir": "verbs",
    "list_chips": "hwmodels",
    "load_activity": "simulator",
    "load_checkpoint": "compiler",
    "load_chip": "hwmodels",
    "load_dataset": "training.data",
    "load_graph": "compiler",
    "minimal_eps": "robustness",
    "reproduce": "studies",
    "save_checkpoint": "compiler",
    "simulate": "simulator",
    "simulate_on_cluster": "cluster",
    "sweep": "sweeps",
    "to_nir": "verbs",
    "train": "verbs",
    "transfer": "robustness",
}
_FOLDERS = ("compiler", "hwmodels", "simulator", "training")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _FOLDERS:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module 'gossamer' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_FOLDERS})
