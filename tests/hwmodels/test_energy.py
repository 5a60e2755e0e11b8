import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.hwmodels import (
    EVENT_NAMES,
    EVENTS,
    EnergyReport,
    EventCounts,
    HardwareError,
    LayerActivity,
    LayerMemory,
    list_chips,
    load_chip,
    price,
)

Layer = Callable[..., LayerActivity]

MEMORY = st.builds(LayerMemory, weight_bytes=st.integers(1, 2**22), state_bytes=st.integers(1, 2**22))
COUNTS = st.builds(EventCounts, **{name: st.integers(0, 2**60) for name in EVENT_NAMES})
LAYERS = st.lists(st.tuples(COUNTS, MEMORY), max_size=4).map(
    lambda parts: [
        LayerActivity(name=f"layer{i}", n_neurons=1, n_synapses=1, counts=counts, memory=memory)
        for i, (counts, memory) in enumerate(parts)
    ]
)
SPECS = [f"{chip}:{name}" for chip in list_chips() for name in load_chip(chip).price_lists]


def test_a_run_by_hand_on_loihi(layer: Layer) -> None:
    run = [
        layer("input", spikes=100),
        layer("fc1", spikes=10, synaptic_ops=2_000, neuron_updates=50, weight_read_bytes=2_000, hops=4),
    ]
    report = price(run, "loihi", 5, n_steps=10)
    assert report.total_pj == pytest.approx(110 * 1.7 + 2_000 * 23.6 + 50 * 81 + 4 * 3.0, rel=1e-15)
    assert report.total_low_pj == pytest.approx(110 * 1.7 + 2_000 * 23.6 + 50 * 52 + 4 * 3.0, rel=1e-15)
    assert report.total_high_pj == pytest.approx(110 * 1.7 + 2_000 * 23.6 + 50 * 81 + 4 * 4.0, rel=1e-15)
    assert report.per_sample_pj == report.total_pj / 5
    assert report.by_event["synaptic_op"] == 2_000 * 23.6
    assert [entry["name"] for entry in report.by_layer] == ["input", "fc1"]
    assert report.by_layer[0]["by_event"] == {"spike": 100 * 1.7}
    assert (report.chip, report.price_list, report.n_samples, report.n_steps) == ("loihi", "davies2018", 5, 10)
    assert not report.partial
    assert report.excluded == {"weight_read_byte": "inside the synaptic operation's price"}


def test_a_run_by_hand_on_cmos_with_memory(layer: Layer) -> None:
    memory = LayerMemory(weight_bytes=8_000, index_bytes=16_000, state_bytes=400)
    run = [
        layer(
            memory=memory,
            synaptic_ops=100,
            macs=10,
            neuron_updates=7,
            weight_read_bytes=440,
            index_read_bytes=220,
            state_read_bytes=468,
            state_write_bytes=468,
            spikes=3,
        )
    ]
    report = price(run, "cmos-45nm:memory-fp32", 1)
    # 24,000 B of weights and indices are a 32 KB memory (20 pJ per 8 bytes); 400 B of state an 8 KB one (10 pJ).
    assert report.total_pj == pytest.approx(
        100 * 0.9 + 10 * 4.6 + 7 * 0.9 + (440 + 220) * 2.5 + 2 * 468 * 1.25, rel=1e-15
    )
    assert set(report.excluded) == {"spike"}
    assert not report.partial


@pytest.mark.parametrize("spec", SPECS)
@given(layers=LAYERS)
def test_the_lines_sum_exactly_to_the_total(spec: str, layers: list[LayerActivity]) -> None:
    report = price(layers, spec, 3)
    assert report.total_pj == math.fsum(line.energy_pj for line in reversed(report.lines))
    assert all(line.energy_pj == line.count * line.price_pj for line in report.lines)
    for entry in report.by_layer:
        assert entry["pj"] == math.fsum(line.energy_pj for line in report.lines if line.layer == entry["name"])
    for event, pj in report.by_event.items():
        assert pj == math.fsum(line.energy_pj for line in report.lines if line.event == event)
    assert report.total_low_pj <= report.total_pj <= report.total_high_pj


@pytest.mark.parametrize("spec", SPECS)
@given(layers=LAYERS)
def test_every_counted_event_is_priced_excluded_or_unpriced(spec: str, layers: list[LayerActivity]) -> None:
    report = price(layers, spec, 3)
    priced = {line.event for line in report.lines}
    groups = [priced, set(report.excluded), set(report.unpriced)]
    counted = {event for event in EVENTS if any(layer.counts.of(event) for layer in layers)}
    assert set.union(*groups) == counted
    assert sum(len(group) for group in groups) == len(counted)
    assert report.partial == bool(report.unpriced)


@given(layers=LAYERS)
def test_a_report_survives_json(layers: list[LayerActivity]) -> None:
    for spec in ("loihi", "cmos-45nm:memory-int8"):
        report = price(layers, spec, 2)
        assert EnergyReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_an_event_without_a_price_makes_the_report_partial(layer: Layer) -> None:
    run = [layer("conv1", macs=300), layer("fc1", macs=2, synaptic_ops=10)]
    report = price(run, "loihi", 1)
    assert report.partial
    assert report.unpriced == {"mac": 302}
    assert report.total_pj == 10 * 23.6
    assert "mac" not in report.by_event
    assert "mac" not in report.excluded


def test_an_event_that_did_not_happen_makes_nothing_partial(layer: Layer) -> None:
    report = price([layer(synaptic_ops=10)], "loihi", 1)
    assert not report.partial
    assert report.unpriced == {}
    assert report.excluded == {}


@pytest.mark.parametrize("spec", ["cmos-45nm:op-only-fp32", "cmos-45nm:op-only-int8"])
def test_arithmetic_only_leaves_out_memory_on_purpose(layer: Layer, spec: str) -> None:
    report = price([layer(macs=2, weight_read_bytes=8, state_read_bytes=8)], spec, 1)
    assert list(report.by_event) == ["mac"]
    assert report.excluded == {"weight_read_byte": "arithmetic only", "state_read_byte": "arithmetic only"}
    assert not report.partial


@pytest.mark.parametrize(
    ("memory", "pj", "source"),
    [
        (LayerMemory(weight_bytes=1), 1.0, "near source"),
        (LayerMemory(weight_bytes=100), 1.0, "near source"),
        (LayerMemory(weight_bytes=60, index_bytes=40), 1.0, "near source"),
        (LayerMemory(weight_bytes=60, index_bytes=41), 4.0, "far source"),
        (LayerMemory(weight_bytes=101, state_bytes=1), 4.0, "far source"),
        (LayerMemory(weight_bytes=1000), 4.0, "far source"),
    ],
)
def test_the_tier_follows_the_size_of_the_synaptic_memory(
    layer: Layer, small_chip: str, memory: LayerMemory, pj: float, source: str
) -> None:
    (line,) = price([layer(memory=memory, weight_read_bytes=10)], small_chip, 1).lines
    assert (line.price_pj, line.energy_pj, line.source) == (pj, 10 * pj, source)


@pytest.mark.parametrize(("state_bytes", "pj"), [(100, 1.0), (101, 4.0)])
def test_the_tier_of_state_follows_the_size_of_the_state(
    layer: Layer, small_chip: str, state_bytes: int, pj: float
) -> None:
    memory = LayerMemory(weight_bytes=1, state_bytes=state_bytes)
    (line,) = price([layer(memory=memory, state_read_bytes=10)], small_chip, 1).lines
    assert line.price_pj == pj


def test_each_layer_has_a_tier_of_its_own(layer: Layer, small_chip: str) -> None:
    run = [
        layer("near", memory=LayerMemory(weight_bytes=5), weight_read_bytes=1),
        layer("far", memory=LayerMemory(weight_bytes=500), weight_read_bytes=1),
    ]
    report = price(run, small_chip, 1)
    assert [line.price_pj for line in report.lines] == [1.0, 4.0]
    assert report.by_event == {"weight_read_byte": 5.0}
    assert report.total_high_pj == 1.0 + 8.0
    assert report.total_low_pj == 5.0


def test_a_memory_larger_than_every_tier_has_no_price(layer: Layer, small_chip: str) -> None:
    run = [
        layer("fits", memory=LayerMemory(weight_bytes=1000), weight_read_bytes=3),
        layer("large", memory=LayerMemory(weight_bytes=1001), weight_read_bytes=4),
    ]
    report = price(run, small_chip, 1)
    assert report.partial
    assert report.unpriced == {"weight_read_byte": 4}
    assert report.total_pj == 12.0


def test_bytes_from_a_memory_of_no_size_are_refused(layer: Layer, small_chip: str) -> None:
    with pytest.raises(HardwareError, match="GSM-504: layer 'fc1': bytes moved in a memory of no size"):
        price([layer(weight_read_bytes=3)], small_chip, 1)


def test_ranges_widen_the_total(layer: Layer, small_chip: str) -> None:
    report = price([layer(synaptic_ops=10, hops=1)], small_chip, 1)
    assert (report.total_low_pj, report.total_pj, report.total_high_pj) == (510.0, 520.0, 550.0)


def test_notes_tell_scope_basis_grade_and_note_once(layer: Layer, small_chip: str) -> None:
    report = price([layer("a", synaptic_ops=1, hops=1), layer("b", synaptic_ops=1)], small_chip, 1)
    assert report.notes == [
        "synaptic_op: per-term, measured, grade P; op note",
        "hop: per-term, measured, grade S",
    ]
    assert price([layer(synaptic_ops=1)], f"{small_chip}:all-in", 1).notes == [
        "synaptic_op: all-in, measured, grade P",
    ]


def test_a_run_without_layers_costs_nothing() -> None:
    report = price([], "loihi", 1)
    assert (report.total_pj, report.lines, report.partial) == (0.0, (), False)


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, True])
def test_a_run_without_samples_is_refused(layer: Layer, n_samples: int) -> None:
    with pytest.raises(HardwareError, match="GSM-504: n_samples"):
        price([layer(spikes=1)], "loihi", n_samples)


def test_two_layers_of_one_name_are_refused(layer: Layer) -> None:
    with pytest.raises(HardwareError, match="GSM-504: two layers of one name; found: 'b'"):
        price([layer("a"), layer("b"), layer("b")], "loihi", 1)


@pytest.mark.parametrize("exponent", [308, 400])
def test_more_events_than_a_float_can_hold_are_refused(layer: Layer, exponent: int) -> None:
    with pytest.raises(HardwareError, match="GSM-504"):
        price([layer(synaptic_ops=10**exponent)], "loihi", 1)


def test_terms_that_are_finite_with_an_infinite_sum_are_refused(layer: Layer) -> None:
    run = [layer(name, synaptic_ops=7 * 10**306) for name in "abc"]
    assert price(run[:1], "loihi", 1).total_pj > 1e308
    with pytest.raises(HardwareError, match="GSM-504: lines: the energy is too large"):
        price(run, "loihi", 1)


def test_a_report_with_a_changed_total_is_refused(layer: Layer) -> None:
    data = price([layer(spikes=1)], "loihi", 1).to_dict()
    for key, value in [("total_pj", 0.0), ("partial", True), ("per_sample_pj", 1.0), ("by_event", {}), ("notes", [])]:
        with pytest.raises(HardwareError, match=f"GSM-504: {key}: an energy report that contradicts itself"):
            EnergyReport.from_dict({**data, key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lines", None),
        ("lines", [{"layer": "fc1"}]),
        ("lines", [3]),
        ("unpriced", {"mac": -1}),
        ("unpriced", 5),
        ("excluded", []),
        ("n_samples", 0),
        ("n_steps", -1),
        ("layers", []),
        ("layers", 7),
        ("colour", 1),
    ],
)
def test_a_malformed_report_is_refused(layer: Layer, key: str, value: object) -> None:
    data = price([layer(spikes=1)], "loihi", 1).to_dict()
    with pytest.raises(HardwareError) as caught:
        EnergyReport.from_dict({**data, key: value})
    assert caught.value.code == "GSM-504"


@pytest.mark.parametrize(
    ("key", "value"),
    [("energy_pj", 1.0), ("count", 2), ("price_pj", 2.0), ("low_pj", math.nan), ("high_pj", 0.0), ("event", "spikes")],
)
def test_a_report_with_a_changed_line_is_refused(layer: Layer, key: str, value: object) -> None:
    data = price([layer(spikes=1)], "loihi", 1).to_dict()
    data["lines"][0][key] = value
    with pytest.raises(HardwareError, match="GSM-504"):
        EnergyReport.from_dict(data)


def test_a_report_without_a_part_is_refused(layer: Layer) -> None:
    data = price([layer(spikes=1)], "loihi", 1).to_dict()
    for key in data:
        with pytest.raises(HardwareError, match="GSM-504"):
            EnergyReport.from_dict({name: value for name, value in data.items() if name != key})
