"""Chip files are untrusted: whatever is in one, the answer is a chip or a GSM-502 that names file and field."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer.hwmodels import HardwareError, load_chip

OP = "price_lists.main.prices.synaptic_op"
MAIN = "price_lists.main"
TIER = "memories.near-far"


@pytest.mark.parametrize(
    ("old", "new", "field", "found"),
    [
        ("value = 2.0", "value = -2.0", f"{OP}.value", "-2.0"),
        ("value = 2.0", "value = 0", f"{OP}.value", "0"),
        ("value = 2.0", "value = nan", f"{OP}.value", "nan"),
        ("value = 2.0", "value = inf", f"{OP}.value", "inf"),
        ("value = 2.0", 'value = "2.0"', f"{OP}.value", "'2.0'"),
        ("value = 2.0", "value = true", f"{OP}.value", "True"),
        ("value = 2.0", "", f"{OP}.value", "nothing"),
        ("value = 2.0", "value = 2.0\ncolour = 1", f"{OP}.colour", "an unknown key"),
        ("value = 2.0", "valu = 2.0", f"{OP}.valu", "an unknown key"),
        ("low = 1.0", "low = 3.0", OP, "low 3.0, value 2.0, high 5.0"),
        ("high = 5.0", "high = 1.5", OP, "low 1.0, value 2.0, high 1.5"),
        ('unit = "pJ"', 'unit = "J"', f"{OP}.unit", "'J'"),
        (
            'basis = "measured"\nnode = "45 nm"\nvoltage',
            'basis = "guessed"\nnode = "45 nm"\nvoltage',
            f"{OP}.basis",
            "'g",
        ),
        ('source = "op source"', 'source = " "', f"{OP}.source", "' '"),
        ('source = "op source"\n', "", f"{OP}.source", "nothing"),
        ('source = "op source"', 'source = "\\u001b[2J"', f"{OP}.source", "x1b"),
        ('grade = "P"\nnote', 'grade = "A"\nnote', f"{OP}.grade", "'A'"),
        (
            "prices.synaptic_op]\nvalue = 2.0",
            "prices.synops]\nvalue = 2.0",
            "price_lists.main.prices.synops",
            "'synops'",
        ),
        ('spike = "free here"', 'spikes = "free here"', f"{MAIN}.excluded.spikes", "'spikes'"),
        ('spike = "free here"', 'spike = ""', f"{MAIN}.excluded.spike", "''"),
        ('spike = "free here"', 'hop = "free here"', MAIN, "hop in both"),
        ('weight_read_byte = "near-far"', 'weight_read_byte = "near"', f"{MAIN}.prices.weight_read_byte", "'near'"),
        ('weight_read_byte = "near-far"', "weight_read_byte = []", f"{MAIN}.prices.weight_read_byte", "[]"),
        ('weight_read_byte = "near-far"', "weight_read_byte = 3", f"{MAIN}.prices.weight_read_byte", "3"),
        ('weight_read_byte = "near-far"', 'neuron_update = "near-far"', MAIN, "tiers for neuron_update"),
        ("max_bytes = 1000", "max_bytes = 100", TIER, "[100, 100]"),
        ("max_bytes = 1000", "max_bytes = 50", TIER, "[100, 50]"),
        ("max_bytes = 100\n", "", TIER, "[None, 1000]"),
        ("access_bits = 32", "access_bits = 12", f"{TIER}.1.access_bits", "12"),
        ("access_bits = 32\n", "", f"{TIER}.1.access_bits", "nothing"),
        ("high_pj_per_access = 32", "high_pj_per_access = 2", f"{TIER}.1", "high 2.0"),
        ('scope = "all-in"', 'scope = "per-op"', "price_lists.all-in.prices.synaptic_op.scope", "'per-op'"),
        ('grade = "S"', 'grade = "S"\nscope = "all-in"', "", ""),  # a key twice: not TOML
        ('default_price_list = "main"', 'default_price_list = "man"', "", "'man'"),
        ('default_price_list = "main"', "", "default_price_list", "nothing"),
        ('name = "small"', 'name = "Small:chip"', "name", "'Small:chip'"),
        ('name = "small"', 'name = "small\\n"', "name", "'small\\n'"),
        ('label = "main"', 'label = "main"\nname = "other"', "", "'other'"),
        ('source = "invented"', 'source = "invented"\ncapacities = {n_cores = 4}', "capacities", "none"),
        (
            'source = "invented"',
            'source = "invented"\ncapacities = {source = "x", n_cores = -4}',
            "capacities.n_cores",
            "-4",
        ),
        (
            'source = "invented"',
            'source = "x"\ncapacities = {source = "x", n_cores = 5, mesh = {width=2, height=2, cores_per_tile=1}}',
            "capacities",
            "a mesh of 4",
        ),
        ('source = "invented"', 'source = "invented"\n"\\u001b[2J" = 1', "'\\x1b[2J'", "an unknown key"),
        ('source = "invented"', 'source = "invented"\nmemories = 3\n', "", ""),
    ],
)
def test_a_mistake_is_named(small_chip_text: str, tmp_path: Path, old: str, new: str, field: str, found: str) -> None:
    assert old in small_chip_text
    path = tmp_path / "bad.toml"
    path.write_text(small_chip_text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(HardwareError) as caught:
        load_chip(path)
    error = caught.value
    assert error.code == "GSM-502"
    assert error.where == (f"{path}: {field}" if field else str(path))
    assert found in error.found
    assert error.found
    assert error.expected
    assert "\x1b" not in str(error)


def test_an_all_in_price_beside_a_per_term_price_is_refused(small_chip_text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    head, tail = small_chip_text.split("[price_lists.main.prices.hop]")
    path.write_text(head + "[price_lists.main.prices.hop]" + tail.replace("per-term", "all-in", 1), encoding="utf-8")
    with pytest.raises(HardwareError, match=r"GSM-502.*price_lists\.main: .*found: all-in and per-term in one list"):
        load_chip(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"name = ",
        b"\x00" * 100,
        b"[" * 10_000,
        b"a = " + b"[" * 100_000,
        b"name = " + b"9" * 10_000,
        b"name = 2018-13-45",
        b"price_lists = 3",
        b"price_lists = {a = 3}",
        b"price_lists = {a = {prices = 3}}",
        b"price_lists = {a = {prices = {mac = 'x'}}}",
        b"memories = 3",
        b"memories = {x = 3}",
        b"# " + b"x" * 2_000_000,
    ],
    ids=lambda data: repr(data[:24]),
)
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.toml"
    path.write_bytes(data)
    with pytest.raises(HardwareError) as caught:
        load_chip(path)
    assert caught.value.code == "GSM-502"
    assert len(str(caught.value)) < 1000


def outcome(path: Path) -> str:
    try:
        load_chip(path)
    except HardwareError as error:
        return error.code
    return "loaded"


@settings(max_examples=200)
@given(start=st.floats(0, 1), length=st.integers(0, 40), junk=st.binary(max_size=12))
def test_a_damaged_file_is_refused_or_loaded_but_never_crashes(
    small_chip_text: str, tmp_path: Path, start: float, length: int, junk: bytes
) -> None:
    data = small_chip_text.encode()
    at = int(start * len(data))
    path = tmp_path / "damaged.toml"
    path.write_bytes(data[:at] + junk + data[at + length :])
    assert outcome(path) in ("loaded", "GSM-502")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(HardwareError, match=r"GSM-502.*not a file"):
        load_chip(folder)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match=r"GSM-501.*no such chip file"):
        load_chip(tmp_path / "none.toml")
