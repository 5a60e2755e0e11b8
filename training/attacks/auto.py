"""The attacks of AutoAttack, as the kept package `pyautoattack` has them, with our signature.

APGD chooses its own step sizes, FAB looks for the nearest misclassified image instead of filling the ball, and Square
asks for logits alone. Images are the package's, bit for bit. As there, only images that the model classifies correctly
are attacked, and an image that no attack moved far enough is returned clean.

Source: Croce & Hein 2020 (APGD, FAB-T); Croce & Hein 2020 (FAB); Andriushchenko et al. 2020 (Square).
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..data.optional import import_optional
from ..errors import TrainingError
from .gradient import (
    Norm,
    another_draw,
    check,
    is_random,
    largest_distance,
    loss_gradient,
    under_attack,
    using_bpda,
)

NAMES = {"linf": "Linf", "l2": "L2"}  # of the norms, in the package
MOST = 100_000  # steps, queries or restarts: more is a slip


def apgd_ce(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 100,
    n_restarts: int = 1,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Auto-PGD on the cross-entropy.

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1; for "l2" the largest Euclidean length of an image's change.
        norm: "linf" or "l2".
        n_steps: Steps of each run.
        n_restarts: Runs, each on the images that are still classified correctly.
        eot: Gradients to average at each point: for a model that is random.
        generator: Source of the package's seed; 0 without it.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range, GSM-701 without the package.
    """
    options = {"n_iter": n_steps, "n_restarts": n_restarts, "eot_iter": eot, "loss": "ce"}
    return _run("autopgd_base", "APGDAttack", model, x, y, eps, norm, options, generator)


def apgd_dlr(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 100,
    n_restarts: int = 1,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Auto-PGD on the difference of logits ratio, which does not vanish where the model is sure of itself.

    Arguments as for `apgd_ce`.

    Raises: TrainingError: also GSM-608 for fewer than three classes.
    """
    _check_classes(model, x, at_least=3)
    options = {"n_iter": n_steps, "n_restarts": n_restarts, "eot_iter": eot, "loss": "dlr"}
    return _run("autopgd_base", "APGDAttack", model, x, y, eps, norm, options, generator)


def apgd_t(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 100,
    n_restarts: int = 1,
    n_target_classes: int = 9,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Targeted Auto-PGD: towards each of the likeliest wrong classes in turn.

    Arguments as for `apgd_ce`, and n_target_classes: how many of them; all if there are fewer.

    Raises: TrainingError: also GSM-608 for fewer than four classes, which the targeted ratio needs.
    """
    n_targets = _n_targets(model, x, n_target_classes, at_least=4)
    options = {"n_iter": n_steps, "n_restarts": n_restarts, "eot_iter": eot, "n_target_classes": n_targets}
    return _run("autopgd_base", "APGDAttack_targeted", model, x, y, eps, norm, options, generator)


def fab(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 100,
    n_restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fast adaptive boundary attack: the nearest misclassified image it finds, where that is within eps.

    Each step takes the gradient of every class: for many classes `fab_t` is faster. Arguments as for `apgd_ce`.

    Raises: TrainingError: GSM-608 for arguments out of range, GSM-701 without the package.
    """
    options = {"n_iter": n_steps, "n_restarts": n_restarts}
    return _run("fab_pt", "FABAttack_PT", model, x, y, eps, norm, options, generator)


def fab_t(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 100,
    n_restarts: int = 1,
    n_target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """FAB towards each of the likeliest wrong classes in turn, one gradient a step. Arguments as for `apgd_t`.

    Raises: TrainingError: GSM-608 for arguments out of range, GSM-701 without the package.
    """
    n_targets = _n_targets(model, x, n_target_classes, at_least=2)
    options = {"n_iter": n_steps, "n_restarts": n_restarts, "targeted": True, "n_target_classes": n_targets}
    return _run("fab_pt", "FABAttack_PT", model, x, y, eps, norm, options, generator)


def square(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_queries: int = 5000,
    n_restarts: int = 1,
    rescale_schedule: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Square attack: random squares of pixels that are kept where they lower the margin. It needs no gradient.

    So it judges networks whose gradient is hidden, quantized ones too.

    Args:
        model: (batch, channels, height, width) in [0, 1] -> logits.
        x: (batch, channels, height, width) images in [0, 1]; for "l2" at least 5 x 5.
        y: (batch,) labels.
        eps: As for `apgd_ce`.
        norm: "linf" or "l2".
        n_queries: Logits asked for each image in a run.
        n_restarts: Runs, each on the images that are still classified correctly.
        rescale_schedule: True fits the sizes of the squares to n_queries; they are made for 10,000.
        generator: Source of the package's seed; 0 without it.
    Returns: (batch, channels, height, width), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range, GSM-701 without the package.
    """
    smallest = 5 if norm == "l2" else 1
    if x.ndim != 4 or min(x.shape[2:]) < smallest:
        raise TrainingError(
            "GSM-608",
            "squares do not fit these images",
            where="x",
            found=tuple(x.shape),
            expected=f"(batch, channels, height, width), at least {smallest} x {smallest}",
        )
    options = {"n_queries": n_queries, "n_restarts": n_restarts, "resc_schedule": rescale_schedule}
    return _run("square", "SquareAttack", model, x, y, eps, norm, options, generator)


def package_seed(generator: torch.Generator | None) -> int:
    """The seed that the package gets: the generator's next number, 0 without one."""
    return 0 if generator is None else int(torch.randint(1 << 31, (), generator=generator))


def _run(
    module: str,
    name: str,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: Norm,
    options: dict[str, Any],
    generator: torch.Generator | None,
) -> Tensor:
    """One attack of the package on a batch; the model, the random state and the log stay as they were."""
    counts = {"n_iter": "n_steps", "eot_iter": "eot"}
    ranges = {counts.get(k, k): (v, 1, MOST) for k, v in options.items() if type(v) is int}
    check(x, y, goal="ce", norm=norm, eps=(eps, 0, largest_distance(x, norm)), **ranges)
    package = _package(module)
    seed = package_seed(generator)
    if not len(x) or eps == 0:
        return x
    if name != "SquareAttack":
        _check_gradient(model, x, y)
    logger = logging.Logger("unheard")  # of no one's, so that nothing is printed and no handler is touched
    logger.addHandler(logging.NullHandler())
    extra = {"logger": logger} if module == "autopgd_base" else {}
    predict: Callable[[Tensor], Tensor] = model
    if options.get("eot_iter", 1) > 1 and is_random(model):
        predict = partial(_redrawn, model, generator)
    attack = getattr(package, name)(
        predict, eps=eps, norm=NAMES[norm], seed=seed, device=x.device, verbose=False, **options, **extra
    )
    with under_attack(model), _own_randomness(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images: Tensor = attack.perturb(x.detach().contiguous(), y)
    return images.detach()


def _redrawn(model: nn.Module, generator: torch.Generator | None, x: Tensor) -> Tensor:
    """Logits; where a gradient is wanted, with a new draw of the input coding."""
    with using_bpda(model, another_draw(model, generator) if x.requires_grad else None):
        logits: Tensor = model(x)
    return logits


def _package(module: str) -> ModuleType:
    return import_optional(
        f"pyautoattack.{module}", package="pyautoattack", needed_for="an attack of AutoAttack", extra="attack"
    )


@contextmanager
def _own_randomness() -> Iterator[None]:
    """The package seeds torch's global generators; they are as before when the block ends."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)):
        yield


def _check_gradient(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Refuse here what the package would stumble over: a model that lets no gradient through."""
    with under_attack(model):
        loss_gradient(model, x[:1], y[:1], "ce")


def _check_classes(model: nn.Module, x: Tensor, *, at_least: int) -> int:
    """The number of classes."""
    if not len(x):
        return at_least
    with under_attack(model), torch.no_grad():
        n_classes = int(model(x[:1]).shape[1])
    if n_classes < at_least:
        raise TrainingError(
            "GSM-608",
            "too few classes for this attack",
            found=n_classes,
            expected=f">= {at_least}",
            remedy="use apgd-ce, or fab",
        )
    return n_classes


def _n_targets(model: nn.Module, x: Tensor, wanted: int, *, at_least: int) -> int:
    """How many wrong classes are aimed at."""
    check(x, x, n_target_classes=(wanted, 1, MOST))
    return min(wanted, _check_classes(model, x, at_least=at_least) - 1)
