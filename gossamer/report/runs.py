"""Several runs side by side: a table, and the page of `gossamer report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import numbers
from .energies import energies_json
from .entry import Entry
from .page import Section, write_page
from .tables import energy_remarks

LAYER_COLUMNS = (
    "population",
    "kind",
    ">neurons",
    ">synapses",
    ">stored weights",
    ">memory, as stored",
    ">memory, unrolled",
    ">events per neuron and step",
    ">spikes",
    ">synaptic ops",
    ">MACs",
    ">neuron updates",
)


def overview(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table: one run a row, per sample."""
    chips = list(dict.fromkeys(chip for e in entries for chip in e.energies))
    columns = ["run", "arithmetic", ">samples", ">T", ">accuracy", ">spikes", ">synaptic ops", ">MACs", ">weights"]
    columns += [f">{chip}" for chip in chips]
    return columns, [[*_counts(e), *(energy_cell(e, chip) for chip in chips)] for e in entries]


def energy_cell(entry: Entry, chip: str) -> str:
    """Energy per sample; a partial total is marked."""
    report = entry.energies.get(chip)
    if report is None:
        return numbers.NONE
    return numbers.energy(report.per_sample_pj) + (" *" if report.partial else "")


def partial_notes(entries: Sequence[Entry]) -> list[str]:
    """What the marked totals leave out, and which are of another arithmetic than the run."""
    missing: dict[str, set[str]] = {}
    for entry in entries:
        for chip, report in entry.energies.items():
            missing.setdefault(chip, set()).update(report.unpriced)
    cautions = [
        f"{entry.name}: {remark}"
        for entry in entries
        for report in entry.energies.values()
        for remark in energy_remarks(report, entry.run.arithmetic)
        if remark.startswith("CAUTION")
    ]
    return cautions + [
        f"* {chip} has no price for {', '.join(sorted(events))}: the total is a part of the energy"
        for chip, events in missing.items()
        if events
    ]


def report_json(entries: Sequence[Entry]) -> dict[str, Any]:
    """The report for JSON."""
    return {
        "runs": [
            {"name": e.name, "accuracy": e.accuracy, **e.run.to_dict(), "energy_pj": energies_json(e.energies)}
            for e in entries
        ]
    }


def write_report(path: Path, entries: Sequence[Entry], png: bytes) -> None:
    """Write the HTML page."""
    columns, rows = overview(entries)
    sections = [
        Section(heading="Runs, per sample", columns=columns, rows=rows, notes=partial_notes(entries)),
        Section(heading="In one picture", png=png),
        *(_layers(entry) for entry in entries),
        *_prices(entries),
    ]
    networks = ", ".join(dict.fromkeys(e.run.graph for e in entries))
    write_page(
        path,
        title="What the runs cost",
        sections=sections,
        lead=f"{networks}: simulated event by event; every count is exact, every price has a source.",
    )


def _counts(entry: Entry) -> list[str]:
    run, total = entry.run, entry.run.total
    weights = sum(layer.n_weights for layer in run.layers)
    return [
        entry.name,
        run.arithmetic,
        numbers.count(run.n_samples),
        str(run.n_steps),
        numbers.percent(entry.accuracy),
        *(numbers.count(n / run.n_samples) for n in (total.spikes, total.synaptic_ops, total.macs)),
        numbers.count(weights),
    ]


def _layers(entry: Entry) -> Section:
    run = entry.run
    rows = []
    for layer in run.layers:
        c = run.layer_counts(layer.name)
        rows.append(
            [
                layer.name,
                layer.kind,
                numbers.count(layer.n_neurons),
                numbers.count(layer.n_synapses),
                numbers.count(layer.n_weights),
                numbers.size(layer.weight_bytes + layer.index_bytes),
                numbers.size(layer.unrolled_bytes),
                f"{run.spike_rate(layer.name):.4f}",
                *(numbers.count(n / run.n_samples) for n in (c.spikes, c.synaptic_ops, c.macs, c.neuron_updates)),
            ]
        )
    text = (
        f"{run.graph}, {run.n_samples:,} samples x {run.n_steps} steps; graph sha256 {run.graph_sha256 or 'not saved'}"
    )
    return Section(heading=f"Layers of {entry.name}, per sample", paragraphs=[text], columns=LAYER_COLUMNS, rows=rows)


def _prices(entries: Sequence[Entry]) -> list[Section]:
    """The prices that were charged on each chip, and what each total leaves out."""
    sections = []
    for chip in dict.fromkeys(chip for e in entries for chip in e.energies):
        reports = [e.energies[chip] for e in entries if chip in e.energies]
        rows = {
            (line.event, f"{line.price_pj:g} pJ", line.scope, line.basis, line.grade, line.source, line.note): None
            for report in reports
            for line in report.lines
        }
        remarks = (r for e in entries if chip in e.energies for r in energy_remarks(e.energies[chip], e.run.arithmetic))
        notes = dict.fromkeys(remark for remark in remarks if "left out" in remark)
        columns = ("event", ">price", "scope", "basis", "grade", "source", "note")
        sections.append(
            Section(
                heading=f"Prices of {chip}: {'; '.join(dict.fromkeys(report.label for report in reports))}",
                columns=columns,
                rows=[list(r) for r in rows],
                notes=list(notes),
            )
        )
    return sections
