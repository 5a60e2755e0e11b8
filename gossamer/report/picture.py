"""One picture of several runs: energy by layer and component, accuracy against energy, spikes per layer and step."""

from collections.abc import Sequence
from io import BytesIO
from textwrap import fill
from typing import Any

from . import numbers
from .entry import Entry
from .optional import optional_package

EVENT_COLOURS = {
    "mac": "#b5446e",
    "synaptic_op": "#2e6f95",
    "neuron_update": "#e09f3e",
    "spike": "#8a817c",
    "weight_read_byte": "#3a7d44",
    "index_read_byte": "#8cb369",
    "state_read_byte": "#9a79b8",
    "state_write_byte": "#c9b1d9",
    "packet": "#bcb8b1",
    "hop": "#463f3a",
}
LINES = ("#2e6f95", "#b5446e", "#e09f3e", "#3a7d44", "#9a79b8", "#463f3a", "#8cb369", "#d1495b")
MARKERS = "osD^vP*X"
MOST_BARS, MOST_SPIKE_PANELS, MOST_LINES = 60, 4, 8


def draw(entries: Sequence[Entry]) -> bytes:
    """The picture as PNG.

    Raises: GossamerError: GSM-701 without matplotlib.
    """
    figure_module = optional_package("matplotlib.figure", extra="viz", needed_for="a picture")
    agg = optional_package("matplotlib.backends.backend_agg", extra="viz", needed_for="a picture")
    spiking = [e for e in entries if e.run.n_steps > 1][:MOST_SPIKE_PANELS]
    chips = list(dict.fromkeys(chip for e in entries for chip in e.energies))
    figure = figure_module.Figure(figsize=(13, 9.2 if spiking else 5), layout="constrained", dpi=110)
    agg.FigureCanvasAgg(figure)
    top, *bottom = figure.subfigures(2 if spiking else 1, 1, squeeze=False)[:, 0]
    if chips:
        left, right = top.subplots(1, 2, width_ratios=(1.7, 1))
        _energy_by_layer(left, entries, _most_telling(entries, chips))
        _accuracy_against_energy(right, entries, chips)
    if spiking:
        axes = bottom[0].subplots(1, len(spiking), squeeze=False, sharey=True)[0]
        for axis, entry in zip(axes, spiking, strict=True):
            _spikes_per_step(axis, entry)
        axes[0].set_ylabel("spikes per sample and step")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _most_telling(entries: Sequence[Entry], chips: Sequence[str]) -> str:
    """The chip that bills for the most kinds of events."""
    return max(chips, key=lambda chip: max(len(e.energies[chip].by_event) for e in entries if chip in e.energies))


def _energy_by_layer(axis: Any, entries: Sequence[Entry], chip: str) -> None:
    priced = [e for e in entries if chip in e.energies]
    by_layer = sum(len(e.energies[chip].layers) for e in priced) <= MOST_BARS
    drawn: set[str] = set()
    at = 0.0
    for entry in priced:
        report = entry.energies[chip]
        layers = [row for row in report.by_layer if row["pj"] > 0]
        if not by_layer:
            layers = [{"name": "", "by_event": report.by_event}]
        start = at
        for row in layers:
            height = 0.0
            for event, pj in row["by_event"].items():
                label = None if event in drawn else event.replace("_", " ")
                drawn.add(event)
                mean = pj / report.n_samples
                axis.bar(at, mean, bottom=height, width=0.8, color=EVENT_COLOURS[event], label=label)
                height += mean
            axis.text(at, -0.02, row["name"], rotation=60, ha="right", va="top", fontsize=7, transform=_below(axis))
            at += 1
        middle = (start + at - 1) / 2
        name = fill(entry.name, 14, break_long_words=False)
        axis.text(middle, 1.01, name, ha="center", va="bottom", fontsize=8, transform=_below(axis))
        at += 1
    axis.set_xticks([])
    ticker = optional_package("matplotlib.ticker", extra="viz", needed_for="a picture")
    axis.yaxis.set_major_formatter(_energies(ticker))
    axis.set_ylabel("energy per sample")
    axis.set_title(f"Energy by layer and component, {chip}", loc="left", fontsize=11, fontweight="bold", pad=30)
    if drawn:
        axis.set_ylim(0, 1.25 * axis.get_ylim()[1])  # room for the legend
        axis.legend(frameon=False, fontsize=8, ncols=4, loc="upper right")
    _plain(axis)


def _accuracy_against_energy(axis: Any, entries: Sequence[Entry], chips: Sequence[str]) -> None:
    labelled: set[str] = set()
    for colour, entry in zip(_cycle(len(entries)), entries, strict=True):
        for marker, chip in zip(MARKERS, chips, strict=False):
            report = entry.energies.get(chip)
            if report is None or report.total_pj == 0:
                continue
            for accuracy, filled in ((entry.accuracy, True), (entry.robust, False)):
                if accuracy is None:
                    continue
                label = entry.name if entry.name not in labelled else None
                labelled.add(entry.name)
                axis.scatter(
                    report.per_sample_pj,
                    100 * accuracy,
                    marker=marker,
                    s=46,
                    facecolors=colour if filled else "none",
                    edgecolors=colour,
                    label=label,
                    zorder=3,
                )
    axis.set_xlabel("energy per sample")
    axis.set_ylabel("accuracy, %")
    axis.set_title("Accuracy against energy", loc="left", fontsize=11, fontweight="bold", pad=30)
    if not labelled:
        axis.text(0.5, 0.5, "no labels, so no accuracy", ha="center", va="center", transform=axis.transAxes)
        return
    low, high = axis.get_ylim()
    middle, half = (low + high) / 2, max((high - low) / 2, 2.5)
    axis.set_ylim(middle - half, middle + half)
    axis.set_xscale("log")
    ticker = optional_package("matplotlib.ticker", extra="viz", needed_for="a picture")
    left, right = axis.get_xlim()
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if right < 100 * left else (1,)))
    axis.xaxis.set_major_formatter(_energies(ticker))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    symbols = "   ".join(f"{_symbol(m)} {_starred(chip, entries)}" for m, chip in zip(MARKERS, chips, strict=False))
    robust = "hollow: under attack   " if any(e.robust is not None for e in entries) else ""
    partial = "* a part of the energy" if "*" in symbols else ""
    key = axis.text(0, 1.02, f"{symbols}\n{robust}{partial}".strip(), fontsize=7, transform=axis.transAxes)
    key.set_in_layout(False)
    axis.legend(frameon=False, fontsize=8)
    _plain(axis)


def _starred(chip: str, entries: Sequence[Entry]) -> str:
    return chip + (" *" if any(e.energies[chip].partial for e in entries if chip in e.energies) else "")


def _spikes_per_step(axis: Any, entry: Entry) -> None:
    run = entry.run
    rows = [
        (row, layer)
        for row, layer in enumerate(run.layers)
        if layer.kind in ("spiking", "join") and run.counts[row, :, 0].any()
    ]
    busiest = sorted(rows, key=lambda pair: -int(run.counts[pair[0], :, 0].sum()))[:MOST_LINES]
    for colour, (row, layer) in zip(_cycle(len(rows)), (pair for pair in rows if pair in busiest), strict=False):
        per_step = run.counts[row, :, 0] / run.n_samples
        axis.plot(range(1, run.n_steps + 1), per_step, marker="o", ms=3.5, color=colour, label=layer.name)
    ticker = optional_package("matplotlib.ticker", extra="viz", needed_for="a picture")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.set_xlabel("step")
    axis.set_ylim(bottom=0)
    total = sum(int(run.counts[row, :, 0].sum()) for row, _ in rows) / run.n_samples
    axis.set_title(f"{entry.name}: {numbers.count(total)} spikes", loc="left", fontsize=10, fontweight="bold")
    if rows:
        axis.legend(frameon=False, fontsize=8)
    _plain(axis)


def _energies(ticker: Any) -> Any:
    """Ticks in pJ, nJ, µJ."""
    return ticker.FuncFormatter(lambda pj, _: numbers.energy(pj).replace(".00 ", " ").replace(".0 ", " "))


def _plain(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def _below(axis: Any) -> Any:
    """x in data, y in the axes' height."""
    return axis.get_xaxis_transform()


def _cycle(n: int) -> list[str]:
    return [LINES[i % len(LINES)] for i in range(n)]


def _symbol(marker: str) -> str:
    return {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "*": "★", "X": "✖"}[marker]
