"""Attacks by name: each a function (model, images, labels, eps, ...) -> images in [0, 1], at most eps away.

A new attack is a file beside these and a line in ATTACKS (docs/how-to/add-an-attack.md).
"""

from collections.abc import Callable

from torch import Tensor

from .adaptive import AdaptiveSurrogate as AdaptiveSurrogate
from .audit import AuditReport as AuditReport
from .audit import Finding as Finding
from .audit import audit as audit
from .auto import apgd_ce as apgd_ce
from .auto import apgd_dlr as apgd_dlr
from .auto import apgd_t as apgd_t
from .auto import fab as fab
from .auto import fab_t as fab_t
from .auto import square as square
from .black_box import BlackBox as BlackBox
from .energy import EnergyAttackReport as EnergyAttackReport
from .energy import energy_attack as energy_attack
from .energy import evaluate_energy as evaluate_energy
from .energy import fan_out as fan_out
from .energy import synaptic_ops as synaptic_ops
from .ensemble import ESTIMATORS as ESTIMATORS
from .ensemble import EnsembleReport as EnsembleReport
from .ensemble import EstimatorReport as EstimatorReport
from .ensemble import evaluate_ensemble as evaluate_ensemble
from .evaluate import AttackReport as AttackReport
from .evaluate import evaluate_attack as evaluate_attack
from .fgsm import fgsm as fgsm
from .gradient import Goal as Goal
from .gradient import Norm as Norm
from .gradient import using_bpda as using_bpda
from .gradient import using_surrogate as using_surrogate
from .mi_fgsm import mi_fgsm as mi_fgsm
from .minimal import MinimalReport as MinimalReport
from .minimal import minimal_eps as minimal_eps
from .minimal import robustness_curve as robustness_curve
from .pgd import pgd as pgd
from .rfgsm import rfgsm as rfgsm
from .sa_pgd import sa_pgd as sa_pgd
from .sharpness import SharpnessReport as SharpnessReport
from .sharpness import search_sharpness as search_sharpness
from .transfer import TransferReport as TransferReport
from .transfer import evaluate_transfer as evaluate_transfer

ATTACKS: dict[str, Callable[..., Tensor]] = {
    "fgsm": fgsm,
    "rfgsm": rfgsm,
    "pgd": pgd,
    "mi-fgsm": mi_fgsm,
    "sa-pgd": sa_pgd,
    "apgd-ce": apgd_ce,
    "apgd-dlr": apgd_dlr,
    "apgd-t": apgd_t,
    "fab": fab,
    "fab-t": fab_t,
    "square": square,
}
