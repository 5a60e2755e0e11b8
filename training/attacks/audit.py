"""Are the gradients honest? What must hold between attacks if a network is robust and not merely hard to differentiate.

A network can look robust to gradient attacks because its gradient vanishes, is shattered or is random: that is
obfuscation. It shows in attacks that are stronger than they should be, or weaker (Athalye, Carlini & Wagner 2018,
section 3.1; Carlini et al. 2019).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import Dataset
from ..errors import TrainingError
from ..evaluate import batches, device_of
from ..seeds import seed_of
from .auto import square
from .evaluate import AttackReport, evaluate_attack
from .fgsm import fgsm
from .gradient import noise, project, under_attack
from .modes import eval_mode
from .pgd import pgd, usual_step_size
from .transfer import TransferReport, evaluate_transfer

N_ERRORS = 2  # standard errors that a difference must exceed to count
MOST_VANISHED = 0.1  # share of samples that may lack a gradient
LEAST_RISE = 1e-6  # of the loss, that a gradient must promise in the ball: less is lost in float32's rounding
MOST_LEFT = 0.02  # share of samples that an attack which may repaint the image can have missed
MOST_RANDOM = 1e-5  # difference of logits, relative to their size, that is still rounding
Judged = AttackReport | TransferReport


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: which, whether it passed, what it says, and the numbers behind it."""

    check: str
    passed: bool
    text: str
    evidence: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What was found about a network's gradients.

    findings: one for each check that was made.
    not_checked: check -> why it could not be made. None of these counts as passed.
    options: everything that the numbers depend on, besides network and images.
    """

    findings: tuple[Finding, ...]
    not_checked: dict[str, str]
    clean_accuracy: float
    n_samples: int
    options: dict[str, Any]

    @property
    def passed(self) -> bool:
        """True if no check failed: no sign of obfuscation was found, which is no proof that there is none."""
        return all(finding.passed for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            **self.options,
            "n_samples": self.n_samples,
            "clean_accuracy": self.clean_accuracy,
            "findings": [vars(finding) for finding in self.findings],
            "not_checked": self.not_checked,
        }


def audit(
    model: nn.Module,
    dataset: Dataset,
    *,
    eps: float = 8 / 255,
    sources: Mapping[str, nn.Module] | None = None,
    steps: Sequence[int] = (10, 50, 100),
    sizes: Sequence[float] | None = None,
    n_queries: int = 1000,
    n_noise: int = 10,
    n_samples: int = 200,
    seed: int = 0,
    batch_size: int = 256,
    black_box: Callable[..., Tensor] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Check what honest gradients imply, by attacks in the L-inf ball.

    deterministic   the same image has the same logits twice. If not, attacks see one draw and the defence shows
                    another: attack the mean over draws (EOT) instead; the other checks then mean little.
    gradient        at most 10 % of the samples that are right lack a gradient: none reaches the pixels, or it promises
                    a loss that rises by less than 1e-6 in the ball (eps times the gradient's L1 norm).
    iterative       PGD leaves no more samples right than FGSM does.
    steps           more steps of PGD leave no more samples right than fewer.
    noise           PGD leaves no more right than the worst of `n_noise` random corners of the ball.
    black box       PGD leaves no more right than Square, which sees no gradient.
    transfer        nor than PGD on other networks does.
    growth          a larger ball leaves no more right than a smaller one, and the largest next to none, at most 2 %:
                    an attack that may repaint the image succeeds. These attacks start at the image itself: in a large
                    ball a random start would be an attack by itself.

    PGD is that with the most steps, except that growth takes the fewest for all balls but the largest. "No more right"
    holds up to noise: on the same samples, a difference counts if it exceeds 2 standard errors of the paired
    difference. With n10 samples that are right under the first attack alone, n01 under the second alone and d = n10 -
    n01, it counts if d > 2 sqrt(n10 + n01 - d^2 / n): 4 against none do.

    Everything that is drawn depends on `seed` alone; a model that draws from torch's global state is seeded from it,
    and that state is restored.

    Args:
        model: (batch, C, H, W) in [0, 1] -> logits; a spiking network with the surrogate that attacks shall follow.
        dataset: Images and labels; `n_samples` of them, spread over the classes.
        eps: Size of the ball, 0 < eps <= 1.
        sources: By name, networks to transfer from; the check is not made without.
        steps: Of PGD, ascending.
        sizes: Of the balls of "growth", ascending; eps, 2 eps, 4 eps, ... and 1 if not given.
        n_queries: Of Square, per sample; 0 leaves the check out.
        n_noise: Random corners per sample.
        n_samples: Most samples to attack.
        seed: Of all that is drawn.
        batch_size: Images at a time.
        black_box: Instead of Square: (model, x, y, *, eps, generator) -> x'.
        progress: Called with (attacks done, attacks to do).
    Raises: TrainingError: GSM-608 for options out of range.
    Source: Athalye et al. 2018; Carlini et al. 2019 ("On evaluating adversarial robustness").
    """
    balls = _usual_sizes(eps) if sizes is None else tuple(sizes)
    _check(eps=eps, steps=steps, sizes=balls, n_noise=n_noise, n_queries=n_queries, seed=seed)
    samples, others = dataset.limit(n_samples), sources or {}
    asking = _asking(black_box, n_queries)
    n_attacks = 1 + 1 + len(steps) + (asking is not None) + bool(others) + len(balls)
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, n_attacks)

    def attacked(attack: Callable[..., Tensor], size: float = eps, **options: Any) -> AttackReport:
        report = evaluate_attack(model, samples, attack, seed=seed, batch_size=batch_size, eps=size, **options)
        tell()
        return report

    findings: list[Finding] = []
    not_checked: dict[str, str] = {}
    with eval_mode(model), _seeded(model, seed):
        noisy = attacked(_corners, n_draws=n_noise)
        if not any(noisy.correct):
            raise TrainingError(
                "GSM-608",
                "there is nothing to attack: no sample is classified correctly",
                found=f"0 of {samples.n_samples}",
                remedy="audit a trained network, on the data set that it was trained for",
            )
        findings += [_deterministic(model, samples, batch_size), _gradient(model, samples, batch_size, eps)]
        if findings[-1].evidence["reaches_pixels"]:
            single = attacked(fgsm)
            many = {n: attacked(pgd, **_steps(eps, n)) for n in steps}
            white = many[steps[-1]]
            findings += [
                _no_more_right("iterative", {"PGD": white, "FGSM": single}),
                _not_growing("steps", {f"{n} steps": report for n, report in many.items()}),
                _no_more_right("noise", {"PGD": white, "noise": noisy}),
            ]
            if asking is None:
                not_checked["black box"] = "no queries were allowed"
            else:
                findings.append(_no_more_right("black box", {"PGD": white, "black box": attacked(asking)}))
            if others:
                made: dict[str, Any] = {"eps": eps, **_steps(eps, steps[-1]), "seed": seed, "batch_size": batch_size}
                elsewhere = evaluate_transfer(model, others, samples, pgd, **made)
                tell()
                findings.append(_no_more_right("transfer", {"PGD": white, "transfer": elsewhere}))
            else:
                not_checked["transfer"] = "no other network was given"
            sized = {
                f"{size:.4g}": attacked(pgd, size, **_steps(size, n), start="clean")
                for size, n in zip(balls, [steps[0]] * (len(balls) - 1) + [steps[-1]], strict=True)
            }
            findings.append(_growth(sized, chance=1 / samples.n_classes))
        else:
            checks = ("iterative", "steps", "noise", "black box", "transfer", "growth")
            not_checked = dict.fromkeys(checks, "no gradient reaches the pixels")
    return AuditReport(
        findings=tuple(findings),
        not_checked=not_checked,
        clean_accuracy=noisy.clean_accuracy,
        n_samples=samples.n_samples,
        options={
            "eps": eps,
            "steps": list(steps),
            "sizes": list(balls),
            "n_queries": n_queries,
            "n_noise": n_noise,
            "sources": list(others),
            "seed": seed,
        },
    )


def _deterministic(model: nn.Module, samples: Dataset, batch_size: int) -> Finding:
    """Whether the same images give the same logits again."""
    largest, n_other = 0.0, 0
    with torch.no_grad():
        for x, _ in batches(samples, batch_size, device_of(model)):
            a, b = model(x), model(x)
            size = a.abs().amax(1).clamp_min(1e-30)
            largest = max(largest, float(((a - b).abs().amax(1) / size).max()))
            n_other += int((a.argmax(1) != b.argmax(1)).sum())
    passed = largest <= MOST_RANDOM
    text = (
        "the same images have the same logits"
        if passed
        else "the same images have other logits each time: attack the mean over draws (EOT) and judge by that"
    )
    evidence = {"largest_relative_difference": largest, "n_other_predictions": n_other}
    return Finding(check="deterministic", passed=passed, text=text, evidence=evidence)


def _gradient(model: nn.Module, samples: Dataset, batch_size: int, eps: float) -> Finding:
    """Whether the samples that are right have a gradient, and where not, whether the logits have one."""
    norms: list[Tensor] = []
    of_margin: list[Tensor] = []
    zeros: list[Tensor] = []
    reaches = True
    with under_attack(model):
        for x, y in batches(samples, batch_size, device_of(model)):
            x = x.requires_grad_(True)
            logits = model(x)
            reaches = bool(logits.requires_grad)
            if not reaches:
                break
            is_right = logits.argmax(1) == y
            others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
            margin = logits.gather(1, y[:, None])[:, 0] - others
            loss = F.cross_entropy(logits, y, reduction="sum")
            gradient = torch.autograd.grad(loss, x, retain_graph=True)[0].flatten(1)[is_right]
            norms.append(gradient.abs().double().sum(1))
            zeros.append((gradient == 0).double().mean(1))
            margins = torch.autograd.grad(margin.sum(), x)[0].flatten(1)[is_right]
            of_margin.append(margins.abs().double().sum(1))
    if not reaches:
        text = "no gradient reaches the pixels: only attacks without gradients say something about this network"
        return Finding(check="gradient", passed=False, text=text, evidence={"reaches_pixels": False})
    l1, margin_l1, zero = torch.cat(norms), torch.cat(of_margin), torch.cat(zeros)
    has_vanished = ~(eps * l1 >= LEAST_RISE)  # also where it is not a number
    saturates = has_vanished & (eps * margin_l1 >= LEAST_RISE)
    share = float(has_vanished.double().mean())
    text = f"{share:.1%} of the samples that are right have no gradient to follow"
    if saturates.any():
        text += "; the logits of some have one: the softmax saturates, so climb a margin instead of the cross-entropy"
    evidence = {
        "reaches_pixels": True,
        "n_right": len(l1),
        "share_vanished": share,
        "share_exactly_zero": float((zero == 1).double().mean()),
        "share_saturated": float(saturates.double().mean()),
        "share_of_zero_entries": float(zero.mean()),
        "median_l1_norm": float(l1.median()),
        "most_vanished": MOST_VANISHED,
    }
    return Finding(check="gradient", passed=share <= MOST_VANISHED, text=text, evidence=evidence)


def _no_more_right(check: str, reports: Mapping[str, Judged]) -> Finding:
    """The first attack leaves no more samples right than the second."""
    (a, first), (b, second) = reports.items()
    difference, tolerance = _paired(first, second)
    text = f"right under {a}: {first.adversarial_accuracy:.1%}; under {b}: {second.adversarial_accuracy:.1%}"
    evidence = {**_accuracies(reports), "difference": difference, "tolerance": tolerance}
    return Finding(check=check, passed=difference <= tolerance, text=text, evidence=evidence)


def _not_growing(check: str, reports: Mapping[str, Judged]) -> Finding:
    """None of these attacks leaves more samples right than any before it."""
    ordered = list(reports.values())
    pairs = [_paired(later, earlier) for i, later in enumerate(ordered) for earlier in ordered[:i]]
    n_against = sum(difference > tolerance for difference, tolerance in pairs)
    text = ", ".join(f"{name}: {r.adversarial_accuracy:.1%}" for name, r in reports.items())
    evidence = {**_accuracies(reports), "n_pairs": len(pairs), "n_pairs_that_grow": n_against}
    return Finding(check=check, passed=n_against == 0, text=f"right under PGD: {text}", evidence=evidence)


def _growth(reports: Mapping[str, AttackReport], *, chance: float) -> Finding:
    """A larger ball leaves no more right than a smaller one, and the largest next to none."""
    falling = _not_growing("growth", reports)
    left = list(reports.values())[-1].adversarial_accuracy
    text = f"{falling.text}; by chance: {chance:.1%}"
    evidence = {**falling.evidence, "chance": chance, "most_left": MOST_LEFT}
    return Finding(check="growth", passed=falling.passed and left <= MOST_LEFT, text=text, evidence=evidence)


def _paired(a: Judged, b: Judged) -> tuple[float, float]:
    """How much larger a's accuracy is than b's on the same samples, and 2 standard errors of that."""
    n = len(a.robust)
    only_a = sum(here and not there for here, there in zip(a.robust, b.robust, strict=True))
    only_b = sum(there and not here for here, there in zip(a.robust, b.robust, strict=True))
    error = sqrt(only_a + only_b - (only_a - only_b) ** 2 / n) / n
    return (only_a - only_b) / n, N_ERRORS * error


def _accuracies(reports: Mapping[str, Judged]) -> dict[str, Any]:
    return {"accuracy": {name: report.adversarial_accuracy for name, report in reports.items()}}


def _corners(
    model: nn.Module, x: Tensor, y: Tensor, *, eps: float, n_draws: int, generator: torch.Generator | None = None
) -> Tensor:
    """Of so many random corners of the ball, one that fools the model, if there is one."""
    found = x
    is_fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    with torch.no_grad():
        for _ in range(n_draws):
            tried = project(x + eps * noise(x, generator, normal=True).sign(), x, eps)
            found = torch.where(is_fooled.reshape(-1, *(1,) * (x.ndim - 1)), found, tried)
            is_fooled |= model(tried).argmax(1) != y
    return found


def _asking(black_box: Callable[..., Tensor] | None, n_queries: int) -> Callable[..., Tensor] | None:
    """The attack without gradients, or None if there is to be none."""
    if black_box is not None:
        return black_box
    if n_queries == 0:
        return None
    return partial(square, n_queries=n_queries)


def _steps(eps: float, n_steps: int) -> dict[str, Any]:
    """How far few steps in a large ball go: no further than all pixels do."""
    return {"n_steps": n_steps, "step_size": min(usual_step_size(eps, n_steps), 1.0)}


def _usual_sizes(eps: float) -> tuple[float, ...]:
    """eps, 2 eps, 4 eps, ... and 1."""
    sizes = [eps]
    while eps > 0 and 2 * sizes[-1] < 1:
        sizes.append(2 * sizes[-1])
    return (*sizes, 1.0) if eps < 1 else (*sizes,)


@contextmanager
def _seeded(model: nn.Module, seed: int) -> Iterator[None]:
    """Torch's global state, for models that draw from it, is seeded; it is as before when the block ends."""
    device = device_of(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed_of(seed, "audit"))
        yield


def _check(
    *, eps: float, steps: Sequence[int], sizes: Sequence[float], n_noise: int, n_queries: int, seed: int
) -> None:
    ascending = all(a < b for numbers in (steps, sizes) for a, b in pairwise(numbers))
    for where, found, is_good, expected in (
        ("eps", eps, 0 < eps <= 1, "0 < eps <= 1"),
        ("steps", list(steps), len(steps) > 1 and min(steps) >= 1 and ascending, "two numbers >= 1 or more, ascending"),
        ("sizes", list(sizes), len(sizes) > 1 and min(sizes) > 0 and ascending, "two sizes > 0 or more, ascending"),
        ("n_noise", n_noise, n_noise >= 1, ">= 1"),
        ("n_queries", n_queries, n_queries >= 0, ">= 0"),
        ("seed", seed, seed >= 0, ">= 0"),
    ):
        if not is_good:
            raise TrainingError("GSM-608", "option out of range", where=where, found=found, expected=expected)
