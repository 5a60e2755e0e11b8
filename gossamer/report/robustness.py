"""Attacks in words and tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group

from . import numbers
from .tables import table
from .text import clean

if TYPE_CHECKING:
    from ..energy_attacks import EnergyAttack
    from ..training import AuditReport, MinimalReport

CURVE = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)  # shares of the largest change that was tried


def accuracy_lines(
    report: Any,
    *,
    attack: str,
    network: str,
    n_samples: int,
    said: Mapping[str, Any],
    parts: Mapping[str, float] | None = None,
    at_source: Mapping[str, float] | None = None,
    estimators: Mapping[str, Mapping[str, int]] | None = None,
) -> list[str]:
    """Clean and attacked accuracy; and that of every source, or what every surrogate of an ensemble still found.

    report: with clean_accuracy, adversarial_accuracy and options.
    """
    options = {**report.options, "eps": numbers.fraction_of_255(report.options["eps"])}
    shown = {"eps": options.pop("eps"), **options, **_settings(said)}
    lines = [_heading(network, n_samples, said)]
    lines.append(f"  clean          {numbers.percent(report.clean_accuracy):>9}")
    lines.append(f"  under {attack:<8} {numbers.percent(report.adversarial_accuracy):>9}   {_options(shown)}")
    for name, share in (parts or {}).items():
        there = "" if at_source is None else f"   (there: {numbers.percent(at_source[name])})"
        lines.append(clean(f"    {name:<24} {numbers.percent(share):>9}{there}"))
    for name, counts in (estimators or {}).items():
        found = f"{counts['n_fooled']:,} fooled of {counts['n_attacked']:,} that were left"
        lines.append(clean(f"    {name:<24} {found}"))
    return lines


def curve(report: "MinimalReport") -> list[list[float]]:
    """Pairs [eps, accuracy]: at 0, and at eighths of the largest change that was tried."""
    from ..training import robustness_curve

    sizes = [0.0, *(share * report.max_eps for share in CURVE)]
    return [list(pair) for pair in zip(sizes, robustness_curve(report, sizes), strict=True)]


def minimal_lines(report: "MinimalReport", *, attack: str, network: str, said: Mapping[str, Any]) -> list[str]:
    """How far samples are from being misclassified, as the attack found it."""
    lines = [_heading(network, len(report.distances), said)]
    median = numbers.fraction_of_255(report.median) if report.median < float("inf") else "beyond the largest"
    lines.append(f"  median distance {median} ({report.norm}); right at each eps:")
    lines += [f"    {numbers.fraction_of_255(eps):<12} {numbers.percent(share):>9}" for eps, share in curve(report)]
    options = {name: value for name, value in report.options.items() if value is not None and name != "norm"}
    lines.append(f"  smallest changes that {attack} found: {_options({**options, **_settings(said)})}")
    return lines


def audit_lines(report: "AuditReport", *, network: str, said: Mapping[str, Any]) -> list[str]:
    """One line for each check, and the verdict."""
    lines = [_heading(network, report.n_samples, said)]
    lines.append(
        f"  clean accuracy {numbers.percent(report.clean_accuracy)}   {_options({**report.options, **_settings(said)})}"
    )
    lines += [f"  {'ok' if f.passed else 'FAIL':<5}{f.check:<14} {clean(f.text)}" for f in report.findings]
    lines += [f"  {'-':<5}{check:<14} not checked: {why}" for check, why in report.not_checked.items()]
    if report.passed:
        missing = f"; {len(report.not_checked)} of the checks could not be made" if report.not_checked else ""
        return [*lines, f"no sign of hidden gradients{missing}"]
    return [*lines, "signs of hidden gradients: accuracy under gradient attacks is no measure of this robustness"]


def energy_attack_parts(found: "EnergyAttack", *, network: str, said: Mapping[str, Any]) -> list[str | Group]:
    """What clean, noisy and attacked images cost, per sample."""
    facts = found.to_dict()
    rows = [
        [what, *(numbers.count(facts[key][run]) for run in found.runs), *_factors(facts[key])]
        for what, key in (("synaptic ops", "synaptic_ops"), ("MACs", "macs"))
    ]
    for chip, energy in facts["energy_pj"].items():
        name = f"energy on {chip}{' (PARTIAL)' if energy['partial'] else ''}"
        rows.append([name, *(numbers.energy(energy[run]) for run in found.runs), *_factors(energy)])
    columns = ("", ">clean", ">noise", ">attacked", ">noise / clean", ">attacked / clean")
    return [
        _heading(network, facts["n_samples"], said),
        table("Per sample", columns, rows),
        f"  the prediction is that of the clean image for {numbers.percent(facts['share_kept'])}",
        f"  {_options({**found.options, **_settings(said)})}",
    ]


def _factors(compared: Mapping[str, Any]) -> list[str]:
    return [numbers.NONE if compared[k] is None else f"{compared[k]:.4f}" for k in ("noise_factor", "factor")]


def _heading(network: str, n_samples: int, said: Mapping[str, Any]) -> str:
    return clean(f"{network} on {n_samples:,} samples of {said['data']} ({said['split']})")


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key in ("seed", "surrogate")}


def _options(options: Mapping[str, Any]) -> str:
    return clean(", ".join(f"{key.removeprefix('n_')} {_value(value)}" for key, value in options.items()))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_value, value)) or numbers.NONE
    return f"{value:.4g}" if isinstance(value, float) else str(value)
