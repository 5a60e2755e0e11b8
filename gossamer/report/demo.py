"""The demo's table, legend, checks and page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group

from . import numbers
from .page import Section, write_page
from .picture import draw
from .tables import table

if TYPE_CHECKING:
    from ..demo import Result

COLUMNS = (
    "network",
    ">clean",
    ">PGD",
    ">non-zero weights",
    ">memory, shared",
    ">memory, unrolled",
    ">synaptic ops",
    ">MACs",
    ">45 nm, arithmetic",
    ">45 nm, with memory",
    ">Loihi",
)


def demo_rows(result: "Result") -> list[list[str]]:
    """One row per network, in the order of COLUMNS."""
    return [
        [
            fact["name"],
            numbers.percent(fact["clean_accuracy"]),
            numbers.percent(fact["pgd_accuracy"]),
            numbers.count(fact["nonzero_weights"]),
            numbers.size(fact["memory_bytes"]["shared"]),
            numbers.size(fact["memory_bytes"]["unrolled"]),
            numbers.count(fact["synaptic_ops_per_sample"]),
            numbers.count(fact["macs_per_sample"]),
            *(_energy(e) for e in fact["energy_pj_per_sample"].values()),
        ]
        for fact in result.facts
    ]


def legend(result: "Result") -> list[tuple[str, str]]:
    """What each column means."""
    energies = [e for fact in result.facts for e in fact["energy_pj_per_sample"].values()]
    missing = sorted({event for e in energies for event in e["unpriced"]})
    return [
        ("clean", f"share of the {result.n_test:,} held-out test images that the engine classifies correctly"),
        (
            "PGD",
            f"the same of {result.n_checked:,} of them under a white-box attack: PGD, eps "
            f"{numbers.fraction_of_255(result.eps)}, {result.n_attack_steps} steps, one surrogate (an upper bound of "
            "robustness); integers pass no gradient, "
            "so the 8-bit network has none",
        ),
        ("non-zero weights", "weights that are left, a convolution's kernel counted once"),
        ("memory, shared", "bytes of weights and addresses with each kernel stored once"),
        ("memory, unrolled", "the same with every synapse written out, as some hardware forces"),
        ("synaptic ops", "accumulates per image: a spike meets a synapse that is there; pruned ones cost nothing"),
        ("MACs", "multiply-accumulates per image: a pixel or activation other than 0 meets a synapse"),
        ("45 nm, arithmetic", "energy per image of these operations alone (Horowitz 2014; fp32, the 8-bit row int8)"),
        ("45 nm, with memory", "and of every byte of weights, addresses and state that is moved"),
        (
            "Loihi",
            "energy per image by Davies 2018, per term, simulated before silicon"
            + (f"; * no price for {', '.join(missing)}, so the total is a part" if missing else ""),
        ),
    ]


def demo_table(result: "Result") -> Group:
    """The table for a terminal."""
    return table(_title(result), COLUMNS, demo_rows(result))


def legend_lines(result: "Result") -> list[str]:
    """The legend for a terminal."""
    return [f"  {name + ':':<20}{meaning}" for name, meaning in legend(result)]


def check_lines(result: "Result") -> list[str]:
    """The checks for a terminal: passed, FAILED, or measured without a condition."""
    words = {True: "passed", False: "FAILED"}
    return [f"  {'measured' if c.measured else words[c.passed]:<10}{c.text}" for c in result.checks]


def write_demo_page(path: Path, result: "Result") -> None:
    """Write the HTML page."""
    checks = [(c.passed, c.text + (" (measured)" if c.measured else "")) for c in result.checks]
    sections = [
        Section(
            heading="The networks, and one of them in integers",
            columns=COLUMNS,
            rows=demo_rows(result),
            notes=[f"{name}: {meaning}." for name, meaning in legend(result)],
        ),
        Section(heading="What was checked", checks=checks),
        Section(heading="Energy, accuracy, spikes", png=draw(result.entries)),
    ]
    lead = (
        f"Trained on {result.data}, compiled to a graph of synapses, simulated event by event, counted and priced. "
        "Every count is exact; every price has a source."
    )
    write_page(
        path, title="Gossamer: a sparse, robust spiking network from training to energy", lead=lead, sections=sections
    )


def _title(result: "Result") -> str:
    return (
        f"{result.data}: {result.n_train:,} images for training and validation, {result.n_test:,} held out; "
        f"seed {result.seed}"
    )


def _energy(found: dict[str, Any]) -> str:
    return numbers.energy(found["pj"]) + (" *" if found["partial"] else "")


__all__: Sequence[str] = ["check_lines", "demo_table", "legend_lines", "write_demo_page"]
