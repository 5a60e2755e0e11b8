"""Counts x prices = energy. The only place in Gossamer where energy is computed."""

from collections.abc import Sequence
from pathlib import Path

from .activity import LayerActivity, LayerMemory
from .chip import MemoryTier, Price, PriceList
from .chip_file import chip_and_prices
from .errors import HardwareError
from .events import EVENTS, Event, exact_count
from .report import EnergyLine, EnergyReport


def price(
    layers: Sequence[LayerActivity], chip_spec: str | Path, n_samples: int, *, n_steps: int | None = None
) -> EnergyReport:
    """Price what a run counted.

    Each event of each layer costs count x price. Bytes of memory may be priced by tiers: a layer's weight and index
    reads by the size of its synaptic memory (weights + indices), its state reads and writes by the size of its state.
    An event that was counted and has no price makes the report partial, unless the list excludes it with a reason.

    Args:
        layers: One entry per population, counts summed over samples and steps; names differ.
        chip_spec: "chip", "chip:price-list", or a path ending in ".toml", with or without ":price-list".
        n_samples: Samples of the run, >= 1.
        n_steps: Steps per sample; kept in the report, changes no energy.
    Raises: HardwareError: GSM-501, GSM-502, GSM-503 for the chip (see `chip_and_prices`); GSM-504 if the run is
        inconsistent: two layers of one name, no samples, or bytes read from a memory of no size.
    """
    chip, prices = chip_and_prices(chip_spec)
    names = tuple(layer.name for layer in layers)
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise HardwareError("GSM-504", "two layers of one name", found=repr(double), expected="names that differ")
    lines: list[EnergyLine] = []
    unpriced: dict[str, int] = {}
    excluded: dict[str, str] = {}
    for layer in layers:
        for event in EVENTS:
            count = layer.counts.of(event)
            if count == 0:
                continue
            charge = _charge(prices, event, layer)
            if charge is not None:
                lines.append(_line(layer.name, event, count, charge))
            elif event in prices.excluded:
                excluded[event] = prices.excluded[event]
            else:
                unpriced[event] = unpriced.get(event, 0) + count
    return EnergyReport(
        chip=chip.name,
        price_list=prices.name,
        label=prices.label,
        arithmetic=prices.arithmetic,
        n_samples=exact_count(n_samples, where="n_samples"),
        n_steps=None if n_steps is None else exact_count(n_steps, where="n_steps"),
        layers=names,
        lines=tuple(lines),
        unpriced=unpriced,
        excluded=excluded,
    )


def _charge(prices: PriceList, event: Event, layer: LayerActivity) -> Price | MemoryTier | None:
    """Find the price of `event` in this layer; None where the list has none."""
    if not prices.has_tiers(event):
        return prices.price_of(event)
    memory_bytes = _memory_behind(event, layer.memory)
    if memory_bytes == 0:
        raise HardwareError(
            "GSM-504",
            "bytes moved in a memory of no size",
            where=f"layer {layer.name!r}",
            found=f"{layer.counts.of(event)} x {event}, memory of 0 bytes",
            expected="the size of the memory: it decides what a byte costs",
            remedy="fill LayerActivity.memory",
        )
    return prices.price_of(event, memory_bytes=memory_bytes)


def _memory_behind(event: Event, memory: LayerMemory) -> int:
    """Bytes of the memory that `event` reads or writes."""
    return memory.synapse_bytes if event in ("weight_read_byte", "index_read_byte") else memory.state_bytes


def _line(layer: str, event: Event, count: int, charge: Price | MemoryTier) -> EnergyLine:
    try:
        energy_pj, low_pj, high_pj = count * charge.pj, count * charge.low_pj, count * charge.high_pj
    except OverflowError as error:
        raise HardwareError(
            "GSM-504", "too many events to price", where=f"layer {layer!r}: {event}", expected="a count below 1e300"
        ) from error
    return EnergyLine(
        layer=layer,
        event=event,
        count=count,
        price_pj=charge.pj,
        energy_pj=energy_pj,
        low_pj=low_pj,
        high_pj=high_pj,
        scope=charge.scope,
        basis=charge.basis,
        grade=charge.grade,
        source=charge.source,
        note=charge.note or "",
    )
