"""Tables for a terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from . import numbers
from .text import clean

if TYPE_CHECKING:
    from ..hwmodels import EnergyReport
    from ..simulator import Activity


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, footer: bool = False) -> Group:
    """A table; a column whose heading begins with ">" is set to the right, and a footer is its last row."""
    drawn = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        drawn.add_column(clean(column.removeprefix(">")), justify="right" if right else "left", overflow="fold")
    cells = [[clean(cell) for cell in row] for row in rows]
    for i, row in enumerate(cells):
        if footer and i == len(cells) - 1:
            drawn.add_section()
        drawn.add_row(*row, style="bold" if footer and i == len(cells) - 1 else None)
    return Group(Text(clean(title), style="bold"), drawn)


def activity_table(run: "Activity") -> Group:
    """What each population did, per sample."""
    rows: list[list[str]] = []
    n = run.n_samples
    for layer in run.layers:
        c = run.layer_counts(layer.name)
        rows.append(
            [
                layer.name,
                layer.kind,
                numbers.count(layer.n_neurons),
                numbers.count(layer.n_synapses),
                f"{run.spike_rate(layer.name):.4f}",
                *(numbers.count(e / n) for e in (c.spikes, c.synaptic_ops, c.macs, c.neuron_updates)),
            ]
        )
    t = run.total
    neurons = sum(layer.n_neurons for layer in run.layers)
    synapses = sum(layer.n_synapses for layer in run.layers)
    total = (t.spikes, t.synaptic_ops, t.macs, t.neuron_updates)
    rows.append(
        ["all", "", numbers.count(neurons), numbers.count(synapses), "", *(numbers.count(e / n) for e in total)]
    )
    columns = (
        "population",
        "kind",
        ">neurons",
        ">synapses",
        ">events per neuron and step",
        ">spikes",
        ">synaptic ops",
        ">MACs",
        ">neuron updates",
    )
    return table("Per sample", columns, rows, footer=True)


def energy_table(report: "EnergyReport") -> Group:
    """Energy per sample, by layer and event."""
    events = list(report.by_event)
    rows: list[list[str]] = []
    for layer in report.by_layer:
        parts = [
            numbers.energy(layer["by_event"][e] / report.n_samples) if e in layer["by_event"] else "" for e in events
        ]
        rows.append([layer["name"], *parts, numbers.energy(layer["pj"] / report.n_samples)])
    sums = [numbers.energy(report.by_event[e] / report.n_samples) for e in events]
    rows.append(["all", *sums, numbers.energy(report.per_sample_pj)])
    title = f"{report.chip}:{report.price_list} ({report.label}), energy per sample"
    return table(title, ("population", *(f">{e}" for e in events), ">total"), rows, footer=True)


def energy_remarks(report: "EnergyReport", arithmetic: str) -> list[str]:
    """What a total is made of, what is missing from it, and whether its prices are of the run's arithmetic."""
    low, high = report.total_low_pj / report.n_samples, report.total_high_pj / report.n_samples
    remarks = []
    if report.arithmetic not in (None, arithmetic):
        remarks.append(f"CAUTION: prices of {report.arithmetic} arithmetic for a run that computed in {arithmetic}")
    if low != high:
        remarks.append(f"by the published range of prices: {numbers.energy(low)} to {numbers.energy(high)} per sample")
    if report.partial:
        missing = ", ".join(f"{event} ({numbers.count(n)} counted)" for event, n in report.unpriced.items())
        remarks.append(f"PARTIAL: this list has no price for {missing}")
    if report.excluded:
        reasons: dict[str, list[str]] = {}
        for event, why in report.excluded.items():
            reasons.setdefault(why, []).append(event)
        remarks += [f"left out on purpose: {', '.join(events)} ({why})" for why, events in reasons.items()]
    return [clean(remark) for remark in remarks]


def price_table(report: "EnergyReport") -> Group:
    """Every price that was charged, with its source."""
    rows: dict[tuple[str, ...], None] = {}
    for line in report.lines:
        rows[
            (
                line.event,
                f"{line.price_pj:g} pJ",
                line.scope,
                f"{line.basis}, grade {line.grade}",
                line.source,
                line.note,
            )
        ] = None
    return table("Prices", ("event", ">price", "scope", "basis", "source", "note"), list(rows))
