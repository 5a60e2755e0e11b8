"""What a training run has made, in words and tables."""

from collections.abc import Sequence
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
