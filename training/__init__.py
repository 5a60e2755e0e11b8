"""Train spiking networks: data sets, models, attacks, pruning, conversion, recipes.

Importing this does not import torch: names are loaded where they are used, so that `gossamer.training.data` and the
recipes work without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attacks import ATTACKS as ATTACKS
    from .attacks import AttackReport as AttackReport
    from .attacks import AuditReport as AuditReport
    from .attacks import BlackBox as BlackBox
    from .attacks import EnergyAttackReport as EnergyAttackReport
    from .attacks import Finding as Finding
    from .attacks import TransferReport as TransferReport
    from .attacks import audit as audit
    from .attacks import energy_attack as energy_attack
    from .attacks import evaluate_attack as evaluate_attack
    from .attacks import evaluate_energy as evaluate_energy
    from .attacks import evaluate_transfer as evaluate_transfer
    from .attacks import fan_out as fan_out
    from .attacks import fgsm as fgsm
    from .attacks import pgd as pgd
    from .attacks import rfgsm as rfgsm
    from .attacks import synaptic_ops as synaptic_ops
    from .attacks import using_surrogate as using_surrogate
    from .calibrate import calibrate_thresholds as calibrate_thresholds
    from .convert import reestimate_batch_norm as reestimate_batch_norm
    from .convert import to_spiking as to_spiking
    from .data import Dataset as Dataset
    from .data import list_datasets as list_datasets
    from .data import load_dataset as load_dataset
    from .data import split_validation as split_validation
    from .errors import TrainingError as TrainingError
    from .evaluate import accuracy as accuracy
    from .losses import cross_entropy as cross_entropy
    from .losses import trades as trades
    from .models import MODELS as MODELS
    from .models import convnet as convnet
    from .models import mlp as mlp
    from .models import vgg5 as vgg5
    from .models import vgg11 as vgg11
    from .models import vgg16 as vgg16
    from .pipeline import RunResult as RunResult
    from .pipeline import checkpoint_path as checkpoint_path
    from .pipeline import run_recipe as run_recipe
    from .progress import Progress as Progress
    from .pruning import attach_scores as attach_scores
    from .pruning import density_of as density_of
    from .pruning import prune_by_magnitude as prune_by_magnitude
    from .recipe import Recipe as Recipe
    from .recipe import list_recipes as list_recipes
    from .recipe import load_recipe as load_recipe
    from .record import record_spikes as record_spikes
    from .stages import STAGES as STAGES
    from .surrogates import Surrogate as Surrogate
    from .torch_network import TorchNetwork as TorchNetwork

_HOME = {
    "attacks": (
        "ATTACKS",
        "AttackReport",
        "AuditReport",
        "BlackBox",
        "EnergyAttackReport",
        "Finding",
        "TransferReport",
        "audit",
        "energy_attack",
        "evaluate_attack",
        "evaluate_energy",
        "evaluate_transfer",
        "fan_out",
        "fgsm",
        "pgd",
        "rfgsm",
        "synaptic_ops",
        "using_surrogate",
    ),
    "calibrate": ("calibrate_thresholds",),
    "convert": ("reestimate_batch_norm", "to_spiking"),
    "data": ("Dataset", "list_datasets", "load_dataset", "split_validation"),
    "errors": ("TrainingError",),
    "evaluate": ("accuracy",),
    "losses": ("cross_entropy", "trades"),
    "models": ("MODELS", "convnet", "mlp", "vgg5", "vgg11", "vgg16"),
    "pipeline": ("RunResult", "checkpoint_path", "run_recipe"),
    "progress": ("Progress",),
    "pruning": ("attach_scores", "density_of", "prune_by_magnitude"),
    "recipe": ("Recipe", "list_recipes", "load_recipe"),
    "record": ("record_spikes",),
    "stages": ("STAGES",),
    "surrogates": ("Surrogate",),
    "torch_network": ("TorchNetwork",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name where it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
