"""Attacks by name: each a function (model, images, labels, eps, ...) -> images in [0, 1], at most eps away per pixel.

A new attack is a file beside these and a line in ATTACKS (docs/how-to/add-an-attack.md).
"""

from collections.abc import Callable

from torch import Tensor

from .audit import AuditReport as AuditReport
from .audit import Finding as Finding
from .audit import audit as audit
from .black_box import BlackBox as BlackBox
from .energy import EnergyAttackReport as EnergyAttackReport
from .energy import energy_attack as energy_attack
from .energy import evaluate_energy as evaluate_energy
from .energy import fan_out as fan_out
from .energy import synaptic_ops as synaptic_ops
from .evaluate import AttackReport as AttackReport
from .evaluate import evaluate_attack as evaluate_attack
from .fgsm import fgsm as fgsm
from .gradient import Goal as Goal
from .gradient import using_surrogate as using_surrogate
from .pgd import pgd as pgd
from .rfgsm import rfgsm as rfgsm
from .transfer import TransferReport as TransferReport
from .transfer import evaluate_transfer as evaluate_transfer

ATTACKS: dict[str, Callable[..., Tensor]] = {"fgsm": fgsm, "pgd": pgd, "rfgsm": rfgsm}
