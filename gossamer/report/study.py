"""A study's records as tables in Markdown: mean and spread over seeds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from . import numbers
from .entry import ARITHMETIC, MEMORY

if TYPE_CHECKING:
    from ..training.studies import Base, Study

Facts = Mapping[str, Any]
Of = Callable[[Facts], float]
DENSE = "dense"
STAGES = ("dense", "prune", "finetune", "snn")
PARTS = ("synapses", "multiplies", "neurons")


def study_page(study: "Study", records: Sequence[Facts]) -> str:
    """What was run, and three tables for each base: accuracies, what they cost, and what for."""
    lines = [f"# {study.title}", "", *_about(study, records)]
    for base in study.base:
        found = [r for r in records if r["base"] == base.name]
        if found:
            lines += [
                "",
                f"## {base.name}",
                "",
                *_data(found),
                "",
                *_accuracies(base, found),
                "",
                *_compared(base, found),
                *_costs(found),
                "",
                *_parts_explained(),
                "",
                *_taken_apart(found),
            ]
    return "\n".join(lines) + "\n"


def _about(study: "Study", records: Sequence[Facts]) -> list[str]:
    m = study.measure
    seeds = ", ".join(map(str, sorted({r["seed"] for r in records})))
    return [
        f"Rows of the study `{study.name}`; seeds {seeds}; {'; '.join(sorted({_where(r) for r in records}))}. Mean and "
        "standard deviation over seeds, where there are several.",
        "",
        "* clean: all test images, the compiled network in float32; int8: the same, quantized.",
        f"* PGD: {m.pgd_steps} steps, white box, the surrogate that the network was trained with, uniform start.",
        f"* ensemble: right under that, and under PGD of {m.ensemble_steps} steps, the best point kept, through each "
        "of 19 gradient estimators.",
        f"* + Square: and under Square, which asks for logits alone, {m.queries} times.",
        "* shipped: the 8-bit graph, under the images that PGD makes on the float network.",
        "* attacks: on as many test images as each section says, spread over the classes; eps: the largest change of a "
        "pixel in 0 ... 1.",
        f"* audit: signs of hidden gradients at the first eps, {m.audited} images; passed / runs.",
        "* simulated: one core, the median of some rounds; other processes may have run beside it.",
    ]


def _where(record: Facts) -> str:
    versions = record["versions"]
    return f"{record['machine']}, torch {versions['torch']}, Python {versions['python']}"


def _data(records: Sequence[Facts]) -> list[str]:
    """What all rows of a base have in common, and how long they took."""
    base = max((r["recipe"] for r in records), key=lambda recipe: sum(stage in recipe for stage in STAGES))
    data, seconds = base["data"], [s for r in records if (s := r["seconds"]["training"]) is not None]
    limit = f"{data['limit']:,}" if "limit" in data else "all"
    epochs = ", ".join(f"{stage} {base[stage]['epochs']}" for stage in STAGES if "epochs" in base.get(stage, {}))
    sizes = " ".join(f"{key} {value}" for key, value in base["model"].items() if key != "builder")
    held = f"{100 * base['validation']['fraction']:g} %"
    took = f"{numbers.duration(min(seconds))} to {numbers.duration(max(seconds))}" if seconds else "an unknown time"
    network = f"{base['model']['builder']} {sizes}; T = {records[0]['n_steps']}"
    return [
        f"Data: {data['name']}, {limit} training images, of which {held} choose epochs; {records[0]['n_test']:,} test "
        f"images, {records[0]['n_attacked']:,} of them attacked. Network: {network}. Epochs: {epochs}; end-to-end rows "
        "take as many as all of these. Training took "
        f"{took} a row, threads: {base['recipe']['threads']}, other processes beside it; the artificial network "
        "that rows share is in the time of the first."
    ]


def _accuracies(base: "Base", records: Sequence[Facts]) -> list[str]:
    sizes = [f"{eps:.6g}" for eps in base.eps]
    names = [numbers.fraction_of_255(eps) for eps in base.eps]
    attacks = [f"{kind} {name}" for name in names for kind in ("PGD", "ensemble", "+ Square", "shipped")]
    head = ["row", "seeds", "clean", "int8", *attacks, "audit"]
    rows = []
    for name, group in _rows(records):
        cells = [_spread([r[kind] for r in group]) for kind in ("clean", "clean_int8")]
        for size in sizes:
            cells += [_spread([r[kind][size] for r in group]) for kind in ("pgd", "ensemble", "and_square", "shipped")]
        audits = [r["audit"]["passed"] for r in group if r["audit"]]
        rows.append([name, str(len(group)), *cells, f"{sum(audits)} / {len(audits)}"])
    return _table(head, rows)


def _compared(base: "Base", records: Sequence[Facts]) -> list[str]:
    """By how many points rows are better than end-to-end training at the same share of weights, seed by seed."""
    scratch = {(r["density"], r["seed"]): r for r in records if r["method"] == "end-to-end"}
    sizes = [f"{eps:.6g}" for eps in base.eps]
    names = [f"ensemble {numbers.fraction_of_255(eps)}" for eps in base.eps]
    rows = []
    for name, group in _rows(records):
        pairs = [(r, scratch[r["density"], r["seed"]]) for r in group if (r["density"], r["seed"]) in scratch]
        if not pairs or group[0]["method"] == "end-to-end":
            continue
        differences = [[a["clean"] - b["clean"] for a, b in pairs]]
        differences += [[a["ensemble"][size] - b["ensemble"][size] for a, b in pairs] for size in sizes]
        rows.append([name, *(f"{_spread(d, signed=True)} ({sum(x > 0 for x in d)} / {len(d)})" for d in differences)])
    if not rows:
        return []
    says = (
        "Points by which rows are better than `end-to-end` at the same share of weights, of the same seed; in brackets "
        "in how many seeds they are."
    )
    return [says, "", *_table(["row", "clean", *names], rows), ""]


def _costs(records: Sequence[Facts]) -> list[str]:
    """Sizes and energies, and by how much they are smaller than the dense network's of the same seed, compiled like all
    others, or stored without indices.
    """
    dense = {r["seed"]: r for r in records if r["row"] == DENSE}
    less = ["times less", "than without indices"]
    head = ["row", "weights", "memory", "times smaller", "than without indices", "spike rate", "synaptic ops"]
    head += ["45 nm, arithmetic", less[0], "45 nm, with memory", *less, "simulated, ms a sample"]
    rows = []
    for name, group in _rows(records):
        rows.append(
            [
                name,
                numbers.count(mean(r["weights"] for r in group)),
                numbers.size(round(mean(r["memory_bytes"] for r in group))),
                _factor(group, dense, lambda r: r["memory_bytes"]),
                _factor(group, dense, lambda r: r["memory_bytes"], lambda r: r["memory_bytes"] - r["index_bytes"]),
                f"{mean(r['spike_rate'] for r in group):.3f}",
                numbers.count(mean(r["synaptic_ops"] for r in group)),
                numbers.energy(mean(r["energy_pj"][ARITHMETIC]["total"] for r in group)),
                _factor(group, dense, partial(_spent, ARITHMETIC, "total")),
                numbers.energy(mean(r["energy_pj"][MEMORY]["total"] for r in group)),
                _factor(group, dense, partial(_spent, MEMORY, "total")),
                _factor(group, dense, partial(_spent, MEMORY, "total"), _spent_without_indices),
                f"{mean(r['simulation_ms'] for r in group):.3f}",
            ]
        )
    return _table(head, rows)


def _parts_explained() -> list[str]:
    return [
        "Where the energy goes: each part's share, and how many times less it is than the dense network's. Synapses: "
        "accumulates of spikes; multiplies: of the direct-coded image in the first layer; both with the weights, "
        "indices and accumulators that they move. Neurons: updates and spikes, and the state that they move."
    ]


def _rows(records: Sequence[Facts]) -> Iterable[tuple[str, list[Facts]]]:
    """Records of a row, in the order in which rows appear: dense first, then by density and method."""
    names = dict.fromkeys(r["row"] for r in sorted(records, key=lambda r: -r["density"]))
    for name in names:
        yield name, [r for r in records if r["row"] == name]


def _spread(shares: Sequence[float], *, signed: bool = False) -> str:
    """In percent: mean, and standard deviation if there are several."""
    values = [100 * share for share in shares]
    average = f"{mean(values):{'+' if signed else ''}.1f}"
    return f"{average} ± {stdev(values):.1f}" if len(values) > 1 else average


def _factor(group: Sequence[Facts], dense: Mapping[int, Facts], of: Of, of_dense: Of | None = None) -> str:
    """By how much it is more in the dense network, there perhaps reckoned in another way."""
    factors = [(of_dense or of)(dense[r["seed"]]) / of(r) for r in group if r["seed"] in dense and of(r)]
    return f"{mean(factors):.3g}" if factors else numbers.NONE


def _spent_without_indices(record: Facts) -> float:
    """By a dense network that is stored without indices, which it does not need."""
    return _spent(MEMORY, "total", record) - _spent(MEMORY, "indices", record)


def _taken_apart(records: Sequence[Facts]) -> list[str]:
    """What each part of the energy is of the whole, and by how much it is smaller than the dense network's."""
    dense = {r["seed"]: r for r in records if r["row"] == DENSE}
    kinds = [(ARITHMETIC, part) for part in PARTS[:2]] + [(MEMORY, part) for part in PARTS]
    head = ["row", *(f"{kind}: {part}" for kind, part in kinds)]
    rows = []
    for name, group in _rows(records):
        cells = [name]
        for kind, part in kinds:
            share = mean(r["energy_pj"][kind][part] / r["energy_pj"][kind]["total"] for r in group)
            factor = _factor(group, dense, partial(_spent, kind, part))
            cells.append(f"{100 * share:.0f} %" if factor == numbers.NONE else f"{100 * share:.0f} %, {factor}")
        rows.append(cells)
    return _table(head, rows)


def _spent(kind: str, part: str, record: Facts) -> float:
    energy: float = record["energy_pj"][kind][part]
    return energy


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
