"""The catalogue, in bulk: a new chip is tested on arrival."""

import re
from pathlib import Path

import pytest

from gossamer.hwmodels import (
    EVENTS,
    Capacities,
    Chip,
    HardwareError,
    MemoryTier,
    Mesh,
    Price,
    PriceList,
    chip_and_prices,
    list_chips,
    load_chip,
)

CHIPS = list_chips()
LISTS = [(chip, name) for chip in CHIPS for name in load_chip(chip).price_lists]
DOCS = Path(__file__).parents[2] / "docs"


def quotes(prices: PriceList) -> list[tuple[str, Price | MemoryTier]]:
    pairs: list[tuple[str, Price | MemoryTier]] = []
    for event, price in prices.prices.items():
        pairs += [(event, quote) for quote in (price if isinstance(price, tuple) else (price,))]
    return pairs


def row(label: str, quote: Price | MemoryTier) -> str:
    """How docs/reference/chips.md must show a price."""
    if isinstance(quote, MemoryTier):
        label += ", larger" if quote.max_bytes is None else f", to {quote.max_bytes:,} bytes"
        value, unit = quote.pj_per_access, f"pJ per {quote.access_bits} bits"
        low, high = quote.low_pj_per_access, quote.high_pj_per_access
    else:
        value, unit, low, high = quote.value, quote.unit, quote.low, quote.high
    span = "" if low is None and high is None else f" ({low or value:g} to {high or value:g})"
    basis = ", ".join(part for part in (quote.basis, quote.node, quote.voltage) if part)
    source = quote.source + (f"; *{quote.note}*" if quote.note else "")
    return f"| {label} | {value:g}{span} {unit} | {quote.scope} | {basis} | {quote.grade} | {source} |"


def price_rows(chip: Chip, prices: PriceList) -> list[str]:
    """The table of a price list in docs/reference/chips.md. Memory tiers are shown once, under the chip."""
    rows = []
    for event, price in prices.prices.items():
        if isinstance(price, tuple):
            memory = next(name for name, tiers in chip.memories.items() if tiers == price)
            rows.append(f"| {event} | by the size of the memory: `{memory}` | | | | |")
        else:
            rows.append(row(event, price))
    return rows


def test_the_bundled_chips_are_found_by_listing() -> None:
    assert {"cmos-45nm", "loihi"} <= set(CHIPS)
    assert list(CHIPS) == sorted(CHIPS)


@pytest.mark.parametrize("name", CHIPS)
def test_a_bundled_chip_has_the_name_of_its_file(name: str) -> None:
    assert load_chip(name).name == name


@pytest.mark.parametrize("name", CHIPS)
def test_a_bundled_chip_survives_a_round_trip(name: str) -> None:
    chip = load_chip(name)
    assert Chip.model_validate(chip.model_dump()) == chip
    assert Chip.model_validate_json(chip.model_dump_json()) == chip


@pytest.mark.parametrize(("chip", "name"), LISTS)
def test_every_bundled_price_is_positive_and_has_a_source(chip: str, name: str) -> None:
    for event, quote in quotes(load_chip(chip).prices(name)):
        assert 0 < quote.low_pj <= quote.pj <= quote.high_pj < 1e6, event
        assert re.search(r"(19|20)\d\d", quote.source), f"{event}: a source names author and year"


@pytest.mark.parametrize(("chip", "name"), LISTS)
def test_every_event_of_a_bundled_list_is_priced_excluded_or_known_to_be_unpriced(chip: str, name: str) -> None:
    unknown = {("loihi", "davies2018"): {"mac"}}
    prices = load_chip(chip).prices(name)
    assert set(EVENTS) - set(prices.prices) - set(prices.excluded) == unknown.get((chip, name), set())


@pytest.mark.parametrize(("chip", "name"), LISTS)
def test_the_reference_page_shows_every_bundled_price(chip: str, name: str) -> None:
    page = (DOCS / "reference" / "chips.md").read_text(encoding="utf-8")
    section = page.split(f"\n### `{chip}:{name}`\n", 1)[1].split("\n### ")[0].split("\n## ")[0]
    prices = load_chip(chip).prices(name)
    for line in price_rows(load_chip(chip), prices):
        assert line in section
    for event, reason in prices.excluded.items():
        assert f"| {event} | excluded: {reason} |" in section


@pytest.mark.parametrize("name", CHIPS)
def test_the_reference_page_shows_every_bundled_memory(name: str) -> None:
    page = (DOCS / "reference" / "chips.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {name}\n", 1)[1].split("\n### ")[0]
    for memory, tiers in load_chip(name).memories.items():
        for tier in tiers:
            assert row(f"`{memory}`", tier) in section


@pytest.mark.parametrize("table", [Chip, Capacities, Mesh, PriceList, Price, MemoryTier])
def test_the_reference_page_lists_every_key_of_a_chip_file(table: type[Chip]) -> None:
    page = (DOCS / "reference" / "chips.md").read_text(encoding="utf-8")
    assert [key for key in table.model_fields if f"`{key}`" not in page] == []


# One published figure per price list, from the sources that the files cite.
@pytest.mark.parametrize(
    ("spec", "event", "memory_bytes", "pj"),
    [
        ("cmos-45nm:op-only-fp32", "synaptic_op", 0, 0.9),
        ("cmos-45nm:op-only-fp32", "mac", 0, 4.6),
        ("cmos-45nm:op-only-int8", "synaptic_op", 0, 0.03),
        ("cmos-45nm:op-only-int8", "mac", 0, 0.23),
        ("cmos-45nm:memory-fp32", "neuron_update", 0, 0.9),
        ("cmos-45nm:memory-int8", "neuron_update", 0, 0.03),
        ("cmos-45nm:memory-fp32", "weight_read_byte", 8_192, 10 / 8),
        ("cmos-45nm:memory-fp32", "weight_read_byte", 8_193, 20 / 8),
        ("cmos-45nm:memory-int8", "index_read_byte", 32_768, 20 / 8),
        ("cmos-45nm:memory-int8", "index_read_byte", 32_769, 100 / 8),
        ("cmos-45nm:memory-int8", "state_read_byte", 1_048_576, 100 / 8),
        ("cmos-45nm:memory-fp32", "state_write_byte", 1_048_577, 1300 / 8),
        ("loihi:davies2018", "synaptic_op", 0, 23.6),
        ("loihi:davies2018", "neuron_update", 0, 81.0),
        ("loihi:davies2018", "spike", 0, 1.7),
        ("loihi:davies2018", "hop", 0, 3.0),
    ],
)
def test_a_bundled_price_is_the_published_one(spec: str, event: str, memory_bytes: int, pj: float) -> None:
    _, prices = chip_and_prices(spec)
    found = prices.price_of(event, memory_bytes=memory_bytes)  # type: ignore[arg-type]
    assert found is not None
    assert found.pj == pytest.approx(pj, rel=1e-12)


def test_published_ranges_are_kept() -> None:
    loihi = load_chip("loihi").prices()
    update, hop = loihi.price_of("neuron_update"), loihi.price_of("hop")
    dram = load_chip("cmos-45nm").prices("memory-fp32").price_of("weight_read_byte", memory_bytes=2**30)
    assert update is not None
    assert hop is not None
    assert dram is not None
    assert (update.low_pj, update.high_pj) == (52.0, 81.0)
    assert (hop.low_pj, hop.high_pj) == (3.0, 4.0)
    assert (dram.low_pj, dram.high_pj) == (162.5, 325.0)


def test_loihi_has_its_published_limits() -> None:
    limits = load_chip("loihi").capacities
    assert (limits.n_cores, limits.neurons_per_core) == (128, 1024)
    assert limits.synapse_bits_per_core == 128 * 1024 * 8 == 16_384 * 64
    assert (limits.axons_in_per_core, limits.axons_out_per_core) == (4096, 4096)


def test_a_technology_has_no_limits() -> None:
    assert load_chip("cmos-45nm").capacities == Capacities()


def test_a_spec_without_a_list_means_the_default_list() -> None:
    chip, prices = chip_and_prices("cmos-45nm")
    assert (chip.name, prices.name) == ("cmos-45nm", "op-only-fp32")


def test_a_spec_may_be_a_path_with_or_without_a_list(small_chip: str) -> None:
    assert chip_and_prices(small_chip)[1].name == "main"
    assert chip_and_prices(Path(small_chip))[1].name == "main"
    assert chip_and_prices(f"{small_chip}:all-in")[1].name == "all-in"


def test_units_become_picojoules(small_chip: str) -> None:
    chip = load_chip(small_chip)
    hop, all_in = chip.prices("main").price_of("hop"), chip.prices("all-in").price_of("synaptic_op")
    assert hop is not None
    assert all_in is not None
    assert hop.pj == 500.0
    assert all_in.pj == pytest.approx(0.4)


@pytest.mark.parametrize(
    "name", ["lohi", "", "../chips/loihi", "loihi.TOML", "\x00", "no/such/file.toml", "a\x00.toml"]
)
def test_an_unknown_chip_is_refused(name: str) -> None:
    with pytest.raises(HardwareError) as caught:
        load_chip(name)
    assert caught.value.code in ("GSM-501", "GSM-502")
    assert "\x00" not in str(caught.value)


def test_an_unknown_chip_is_told_which_there_are() -> None:
    with pytest.raises(HardwareError, match=r"GSM-501: unknown chip; found: 'lohi'; expected: one of cmos-45nm, loihi"):
        load_chip("lohi")


@pytest.mark.parametrize("spec", ["loihi:davies", "loihi:", "cmos-45nm:memory-fp32:x"])
def test_an_unknown_price_list_is_refused(spec: str) -> None:
    with pytest.raises(HardwareError, match=r"GSM-503: chip '.*': unknown price list.*expected: one of"):
        chip_and_prices(spec)


def test_the_how_to_shows_a_chip_that_loads(tmp_path: Path) -> None:
    page = (DOCS / "how-to" / "add-a-chip.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "example.toml"
    path.write_text(example, encoding="utf-8")
    chip = load_chip(path)
    assert chip.name == "example"
    assert len(chip.price_lists) == 2


@pytest.mark.parametrize("code", ["GSM-501", "GSM-502", "GSM-503", "GSM-504"])
def test_every_code_has_a_page(code: str) -> None:
    page = (DOCS / "reference" / "errors" / f"{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {code}")
