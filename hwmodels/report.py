"""What pricing answers: an energy whose every line can be checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .errors import HardwareError
from .events import EVENTS, exact_count, shown


@dataclass(frozen=True, kw_only=True)
class EnergyLine:
    """One priced event of one layer: `energy_pj = count * price_pj`.

    Args:
        layer: The layer's name.
        event: The billable event.
        count: How many there were.
        price_pj: What one costs, in pJ.
        energy_pj: What all cost, in pJ; `low_pj` and `high_pj` with the lowest and highest published price.
        low_pj: See `energy_pj`.
        high_pj: See `energy_pj`.
        scope: "per-term" or "all-in".
        basis: "measured", "simulated", "vendor" or "derived".
        grade: "P", "Q" or "S".
        source: Where the price comes from.
        note: What a reader of the price must know; empty where there is nothing.
    Raises: HardwareError: GSM-504, if the energy is not count x price, or not between low and high.
    """

    layer: str
    event: str
    count: int
    price_pj: float
    energy_pj: float
    low_pj: float
    high_pj: float
    scope: str
    basis: str
    grade: str
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        count = exact_count(self.count, where=f"{self.layer}: {self.event}")
        if self.energy_pj != count * self.price_pj or not 0 <= self.low_pj <= self.energy_pj <= self.high_pj:
            raise _refusal(
                "a line that contradicts itself",
                where=f"{self.layer}: {self.event}",
                found=f"{shown(count)} x {self.price_pj} pJ = {self.energy_pj} pJ ({self.low_pj} to {self.high_pj})",
                expected="energy = count x price, low <= energy <= high",
            )


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """The dynamic energy of a run on one chip, by one price list. Static power is not in it.

    Every total is `math.fsum` over lines, so it is the correctly rounded sum of what the lines say, in any order.

    Args:
        chip: The chip's name.
        price_list: The price list's name.
        label: The price list's heading.
        arithmetic: "float32" or "int", if its prices are of that; None if of any.
        n_samples: Samples of the run, >= 1.
        n_steps: Steps per sample; None where the caller did not say.
        layers: Names of all layers, also of those that cost nothing.
        lines: Every priced event that was counted, layer by layer.
        unpriced: Event -> count of what was counted, has no price and was not left out on purpose. The energy of
            these is unknown, not zero.
        excluded: Event -> why the price list leaves it out, for the events that were counted.
    Raises: HardwareError: GSM-504, if the parts do not fit together.
    """

    chip: str
    price_list: str
    label: str
    arithmetic: str | None = None
    n_samples: int
    n_steps: int | None = None
    layers: tuple[str, ...]
    lines: tuple[EnergyLine, ...]
    unpriced: Mapping[str, int]
    excluded: Mapping[str, str]

    def __post_init__(self) -> None:
        if exact_count(self.n_samples, where="n_samples") == 0:
            raise _refusal("a report needs samples", where="n_samples", found="0", expected="an integer >= 1")
        if not math.isfinite(_total_or_inf(self.lines)):
            raise _refusal("the energy is too large", where="lines", found="no finite sum", expected="below 1e308 pJ")
        for line in self.lines:
            if line.layer not in self.layers or line.event not in EVENTS:
                found = f"{line.layer!r}, {line.event!r}"
                raise _refusal("a line of an unknown layer or event", where="lines", found=found)

    @property
    def total_pj(self) -> float:
        """Energy of all lines, in pJ. Without the events in `unpriced` and `excluded`."""
        return math.fsum(line.energy_pj for line in self.lines)

    @property
    def total_low_pj(self) -> float:
        """The total at the lowest published prices, in pJ; `total_pj` where no price has a range."""
        return math.fsum(line.low_pj for line in self.lines)

    @property
    def total_high_pj(self) -> float:
        """The total at the highest published prices, in pJ; `total_pj` where no price has a range."""
        return math.fsum(line.high_pj for line in self.lines)

    @property
    def per_sample_pj(self) -> float:
        """Mean energy of one sample, in pJ."""
        return self.total_pj / self.n_samples

    @property
    def partial(self) -> bool:
        """Whether an event was counted that has no price: the total is then a part of the energy."""
        return bool(self.unpriced)

    @property
    def by_event(self) -> dict[str, float]:
        """Event -> pJ, for the events that were counted and priced."""
        return _by_event(self.lines)

    @property
    def by_layer(self) -> list[dict[str, Any]]:
        """One `{"name", "pj", "by_event"}` per layer, in the order of the layers."""
        table = []
        for name in self.layers:
            lines = [line for line in self.lines if line.layer == name]
            pj = math.fsum(line.energy_pj for line in lines)
            table.append({"name": name, "pj": pj, "by_event": _by_event(lines)})
        return table

    @property
    def notes(self) -> list[str]:
        """What the prices cover and how they were found: one text per event and price, in the order of the lines."""
        texts = [
            f"{line.event}: {line.scope}, {line.basis}, grade {line.grade}" + (f"; {line.note}" if line.note else "")
            for line in self.lines
        ]
        return list(dict.fromkeys(texts))

    def summary(self) -> str:
        """One line per event, and the total per sample."""
        rows = [(event, pj / self.n_samples) for event, pj in self.by_event.items()]
        missing = f" (partial: no price for {', '.join(self.unpriced)})" if self.partial else ""
        lines = [f"{self.chip}:{self.price_list}, {self.label}", *(f"{event:<20}{pj:>16,.1f} pJ" for event, pj in rows)]
        return "\n".join([*lines, f"{'all, per sample':<20}{self.per_sample_pj:>16,.1f} pJ{missing}"])

    def __repr__(self) -> str:
        part = ", partial" if self.partial else ""
        return f"<EnergyReport {self.chip}:{self.price_list}: {self.per_sample_pj:,.1f} pJ per sample{part}>"

    def to_dict(self) -> dict[str, Any]:
        """Everything, totals included, as what JSON can hold."""
        return {
            "chip": self.chip,
            "price_list": self.price_list,
            "label": self.label,
            "arithmetic": self.arithmetic,
            "n_samples": self.n_samples,
            "n_steps": self.n_steps,
            "total_pj": self.total_pj,
            "total_low_pj": self.total_low_pj,
            "total_high_pj": self.total_high_pj,
            "per_sample_pj": self.per_sample_pj,
            "partial": self.partial,
            "unpriced": dict(self.unpriced),
            "excluded": dict(self.excluded),
            "by_event": self.by_event,
            "by_layer": self.by_layer,
            "notes": self.notes,
            "layers": list(self.layers),
            "lines": [asdict(line) for line in self.lines],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EnergyReport":
        """Read what `to_dict` wrote, and check its totals against its lines.

        Raises: HardwareError: GSM-504, if a part is missing or malformed, or a total is not the sum of the lines.
        """
        try:
            report = cls(
                chip=str(data["chip"]),
                price_list=str(data["price_list"]),
                label=str(data["label"]),
                arithmetic=None if data["arithmetic"] is None else str(data["arithmetic"]),
                n_samples=data["n_samples"],
                n_steps=None if data["n_steps"] is None else exact_count(data["n_steps"], where="n_steps"),
                layers=tuple(str(name) for name in data["layers"]),
                lines=tuple(EnergyLine(**line) for line in data["lines"]),
                unpriced={event: exact_count(n, where=f"unpriced.{event}") for event, n in data["unpriced"].items()},
                excluded={str(event): str(why) for event, why in data["excluded"].items()},
            )
            written = report.to_dict()
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            found = f"{type(error).__name__}: {error}"
            raise _refusal("not an energy report", found=found, expected="what EnergyReport.to_dict wrote") from error
        unknown = [name for name in data if name not in written]
        if unknown:
            raise _refusal("unknown field of an energy report", found=shown(unknown[0]), expected=", ".join(written))
        for name, value in written.items():
            if data.get(name) != value:
                raise _refusal(
                    "an energy report that contradicts itself",
                    where=name,
                    found=shown(data.get(name)),
                    expected=shown(value),
                    remedy="the file was edited or damaged; price the run again",
                )
        return report


def _total_or_inf(lines: Sequence[EnergyLine]) -> float:
    try:
        return math.fsum(line.high_pj for line in lines)
    except OverflowError:  # finite terms, infinite sum
        return math.inf


def _by_event(lines: Sequence[EnergyLine]) -> dict[str, float]:
    events = dict.fromkeys(line.event for line in lines)
    return {event: math.fsum(line.energy_pj for line in lines if line.event == event) for event in events}


def _refusal(what: str, *, where: str = "", found: str, expected: str = "", remedy: str = "") -> HardwareError:
    return HardwareError("GSM-504", what, where=where, found=found, expected=expected, remedy=remedy)
