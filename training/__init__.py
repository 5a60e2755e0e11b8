"""Train spiking networks: data sets, models, attacks, pruning, conversion, recipes.

Importing this does not import torch: names are loaded where they are used, so that `gossamer.training.data` and the
recipes work without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .artificial import as_artificial as as_artificial
    from .attacks import ATTACKS as ATTACKS
    from .attacks import ESTIMATORS as ESTIMATORS
    from .attacks import AdaptiveSurrogate as AdaptiveSurrogate
    from .attacks import AttackReport as AttackReport
    from .attacks import AuditReport as AuditReport
    from .attacks import BlackBox as BlackBox
    from .attacks import EnergyAttackReport as EnergyAttackReport
    from .attacks import EnsembleReport as EnsembleReport
    from .attacks import EstimatorReport as EstimatorReport
    from .attacks import Finding as Finding
    from .attacks import MinimalReport as MinimalReport
    from .attacks import SharpnessReport as SharpnessReport
    from .attacks import TransferReport as TransferReport
    from .attacks import apgd_ce as apgd_ce
    from .attacks import apgd_dlr as apgd_dlr
    from .attacks import apgd_t as apgd_t
    from .attacks import audit as audit
    from .attacks import energy_attack as energy_attack
    from .attacks import evaluate_attack as evaluate_attack
    from .attacks import evaluate_energy as evaluate_energy
    from .attacks import evaluate_ensemble as evaluate_ensemble
    from .attacks import evaluate_transfer as evaluate_transfer
    from .attacks import fab as fab
    from .attacks import fab_t as fab_t
    from .attacks import fan_out as fan_out
    from .attacks import fgsm as fgsm
    from .attacks import mi_fgsm as mi_fgsm
    from .attacks import minimal_eps as minimal_eps
    from .attacks import pgd as pgd
    from .attacks import rfgsm as rfgsm
    from .attacks import robustness_curve as robustness_curve
    from .attacks import sa_pgd as sa_pgd
    from .attacks import search_sharpness as search_sharpness
    from .attacks import square as square
    from .attacks import synaptic_ops as synaptic_ops
    from .attacks import using_bpda as using_bpda
    from .attacks import using_surrogate as using_surrogate
    from .calibrate import calibrate_thresholds as calibrate_thresholds
    from .convert import add_biases as add_biases
    from .convert import reestimate_batch_norm as reestimate_batch_norm
    from .convert import to_spiking as to_spiking
    from .data import Dataset as Dataset
    from .data import list_datasets as list_datasets
    from .data import load_dataset as load_dataset
    from .data import split_validation as split_validation
    from .encode import Bpda as Bpda
    from .errors import TrainingError as TrainingError
    from .evaluate import accuracy as accuracy
    from .firing import Firing as Firing
    from .firing import firing_rates as firing_rates
    from .launch import usable_device as usable_device
    from .launch import usable_devices as usable_devices
    from .losses import cross_entropy as cross_entropy
    from .losses import mart as mart
    from .losses import pgd_at as pgd_at
    from .losses import trades as trades
    from .models import MODELS as MODELS
    from .models import convnet as convnet
    from .models import mlp as mlp
    from .models import resnet20 as resnet20
    from .models import resnet32 as resnet32
    from .models import vgg5 as vgg5
    from .models import vgg11 as vgg11
    from .models import vgg11_tin as vgg11_tin
    from .models import vgg16 as vgg16
    from .models import wrn16_4 as wrn16_4
    from .models import wrn28_4 as wrn28_4
    from .pipeline import RunResult as RunResult
    from .pipeline import checkpoint_path as checkpoint_path
    from .pipeline import limited_threads as limited_threads
    from .pipeline import run_recipe as run_recipe
    from .progress import Progress as Progress
    from .pruning import attach_rates as attach_rates
    from .pruning import attach_scores as attach_scores
    from .pruning import density_of as density_of
    from .pruning import prune_at_random as prune_at_random
    from .pruning import prune_by_magnitude as prune_by_magnitude
    from .pruning import prune_like as prune_like
    from .pruning import rewire as rewire
    from .rate_backpropagation import RateBackpropagation as RateBackpropagation
    from .recipe import Recipe as Recipe
    from .recipe import list_recipes as list_recipes
    from .recipe import load_recipe as load_recipe
    from .record import record_spikes as record_spikes
    from .rehearse import rehearsal as rehearsal
    from .stages import STAGES as STAGES
    from .surrogates import Surrogate as Surrogate
    from .torch_network import TorchNetwork as TorchNetwork

_HOME = {
    "artificial": ("as_artificial",),
    "attacks": (
        "ATTACKS",
        "AdaptiveSurrogate",
        "AttackReport",
        "AuditReport",
        "BlackBox",
        "ESTIMATORS",
        "EnergyAttackReport",
        "EnsembleReport",
        "EstimatorReport",
        "Finding",
        "MinimalReport",
        "SharpnessReport",
        "TransferReport",
        "apgd_ce",
        "apgd_dlr",
        "apgd_t",
        "audit",
        "energy_attack",
        "evaluate_attack",
        "evaluate_energy",
        "evaluate_ensemble",
        "evaluate_transfer",
        "fab",
        "fab_t",
        "fan_out",
        "fgsm",
        "mi_fgsm",
        "minimal_eps",
        "pgd",
        "rfgsm",
        "robustness_curve",
        "sa_pgd",
        "search_sharpness",
        "square",
        "synaptic_ops",
        "using_bpda",
        "using_surrogate",
    ),
    "calibrate": ("calibrate_thresholds",),
    "convert": ("add_biases", "reestimate_batch_norm", "to_spiking"),
    "data": ("Dataset", "list_datasets", "load_dataset", "split_validation"),
    "encode": ("Bpda",),
    "errors": ("TrainingError",),
    "evaluate": ("accuracy",),
    "firing": ("Firing", "firing_rates"),
    "launch": ("usable_device", "usable_devices"),
    "losses": ("cross_entropy", "mart", "pgd_at", "trades"),
    "models": (
        "MODELS",
        "convnet",
        "mlp",
        "resnet20",
        "resnet32",
        "vgg5",
        "vgg11",
        "vgg11_tin",
        "vgg16",
        "wrn16_4",
        "wrn28_4",
    ),
    "pipeline": ("RunResult", "checkpoint_path", "limited_threads", "run_recipe"),
    "progress": ("Progress",),
    "pruning": (
        "attach_rates",
        "attach_scores",
        "density_of",
        "prune_at_random",
        "prune_by_magnitude",
        "prune_like",
        "rewire",
    ),
    "rate_backpropagation": ("RateBackpropagation",),
    "recipe": ("Recipe", "list_recipes", "load_recipe"),
    "record": ("record_spikes",),
    "rehearse": ("rehearsal",),
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
