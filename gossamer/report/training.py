"""What a training run has made, in words and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group

from ..compiler import load_checkpoint
from . import numbers
from .networks import network_facts
from .tables import table


def stage_facts(stage: str, path: Path) -> dict[str, Any]:
    """What a stage's checkpoint says of itself, for JSON."""
    network = load_checkpoint(path)
    record = network.metadata.get("training", {})
    connections = network_facts(network)["connections"]
    weights, nonzero = (sum(c[key] for c in connections) for key in ("weights", "nonzero"))
    return {
        "stage": stage,
        "checkpoint": str(path),
        "sha256": network.metadata["sha256"],
        "epoch": record.get("epoch"),
        "validation": record.get("validation", {}),
        "weights": weights,
        "nonzero": nonzero,
        "density": nonzero / weights,
    }


def stage_table(recipe: str, stages: Sequence[dict[str, Any]]) -> Group:
    """One row per stage."""
    rows = [
        [
            s["stage"],
            str(s["epoch"] or numbers.NONE),
            numbers.percent(s["validation"].get("clean")),
            numbers.percent(s["validation"].get("robust")),
            numbers.count(s["nonzero"]),
            numbers.percent(s["density"]),
            s["checkpoint"],
        ]
        for s in stages
    ]
    columns = ("stage", ">best epoch", ">clean", ">robust", ">non-zero weights", ">density", "checkpoint")
    return table(f"Recipe {recipe}: accuracy on validation data", columns, rows)


def conversion_facts(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """What conversion has made of each population, for JSON: threshold, and the share that is active in a step.

    history: of a run; empty facts if it has not converted.
    """
    found = [line for line in history if line.get("stage") == "convert"][-1:]
    return {
        name: {
            "threshold": line.get("thresholds", {}).get(name),
            "active_before": line.get("activity_before", {}).get(name),
            "active": share,
        }
        for line in found
        for name, share in line.get("activity", {}).items()
    }


def conversion_table(facts: Mapping[str, Mapping[str, float | None]]) -> Group:
    """One row per population."""
    rows = [
        [
            name,
            numbers.NONE if fact["threshold"] is None else f"{fact['threshold']:.4g}",
            numbers.percent(fact["active_before"]),
            numbers.percent(fact["active"]),
        ]
        for name, fact in facts.items()
    ]
    columns = ("population", ">threshold", ">active, artificial", ">active in a step, spiking")
    return table("Conversion, on the calibration batches", columns, rows)
