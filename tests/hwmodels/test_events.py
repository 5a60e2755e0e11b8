import json
from dataclasses import FrozenInstanceError, fields
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer.hwmodels import (
    EVENT_NAMES,
    EVENTS,
    Event,
    EventCounts,
    HardwareError,
    LayerActivity,
    LayerMemory,
    bytes_per_index,
    neuron_events,
    synapse_events,
)

counts = st.builds(EventCounts, **{name: st.integers(0, 2**70) for name in EVENT_NAMES})


@given(counts, counts)
def test_addition_adds_each_event(a: EventCounts, b: EventCounts) -> None:
    total = a + b
    for name in EVENT_NAMES:
        assert getattr(total, name) == getattr(a, name) + getattr(b, name)


@given(counts, counts, counts)
def test_addition_is_commutative_and_associative(a: EventCounts, b: EventCounts, c: EventCounts) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


@given(st.lists(counts, max_size=6))
def test_sum_adds_any_number_of_counts(many: list[EventCounts]) -> None:
    total = sum(many, start=EventCounts())
    assert total.macs == sum(c.macs for c in many)
    if many:
        assert sum(many) == total


@given(counts)
def test_counts_survive_json(a: EventCounts) -> None:
    assert EventCounts.from_dict(json.loads(json.dumps(a.to_dict()))) == a


def test_event_names_are_the_fields_in_order() -> None:
    assert tuple(field.name for field in fields(EventCounts)) == EVENT_NAMES
    assert list(EventCounts().to_dict()) == list(EVENT_NAMES)


def test_every_billable_event_has_one_count() -> None:
    assert tuple(EVENTS) == get_args(Event)
    numbered = EventCounts(**{name: i for i, name in enumerate(EVENT_NAMES)})
    assert [numbered.of(event) for event in EVENTS] == list(range(10))


def test_counts_are_exact_above_what_a_float_can_hold() -> None:
    assert (EventCounts(spikes=2**53) + EventCounts(spikes=1)).spikes == 2**53 + 1


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, np.uint64])
def test_numpy_integers_become_python_integers(kind: type) -> None:
    count = EventCounts(spikes=kind(7)).spikes
    assert type(count) is int
    assert count == 7


@pytest.mark.parametrize(
    "bad", [-1, 1.0, "3", None, True, np.float64(2), np.bool_(True), np.array([1, 2]), float("nan")]
)
def test_a_count_that_is_no_natural_number_is_refused(bad: object) -> None:
    with pytest.raises(HardwareError, match="GSM-504: macs: a count must be an exact integer") as caught:
        EventCounts(macs=bad)  # type: ignore[arg-type]
    assert caught.value.code == "GSM-504"


def test_a_negative_number_of_absurd_length_is_refused_without_printing_it() -> None:
    with pytest.raises(HardwareError, match="cannot be printed"):
        EventCounts(macs=-(10**5000))


def test_from_dict_refuses_an_unknown_event() -> None:
    with pytest.raises(HardwareError, match=r"GSM-504.*unknown event.*'synops'"):
        EventCounts.from_dict({"spikes": 1, "synops": 2})


@pytest.mark.parametrize("bad", [None, 3, ["spikes"], "spikes"])
def test_from_dict_refuses_what_is_no_table(bad: object) -> None:
    with pytest.raises(HardwareError, match="GSM-504"):
        EventCounts.from_dict(bad)  # type: ignore[arg-type]


def test_from_dict_counts_a_missing_event_as_none() -> None:
    assert EventCounts.from_dict({"macs": 2}) == EventCounts(macs=2)


def test_counts_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        EventCounts().spikes = 1  # type: ignore[misc]


@pytest.mark.parametrize("other", [1, 0.0, None, {"spikes": 1}])
def test_counts_add_only_to_counts(other: object) -> None:
    with pytest.raises(TypeError):
        EventCounts() + other
    with pytest.raises(TypeError):
        other + EventCounts()


@pytest.mark.parametrize(("n_targets", "n_bytes"), [(1, 2), (65_535, 2), (65_536, 4), (10**6, 4)])
def test_an_index_is_two_bytes_below_65536_targets(n_targets: int, n_bytes: int) -> None:
    assert bytes_per_index(n_targets) == n_bytes


def test_synapse_events_move_a_weight_an_index_and_an_accumulator_per_visit() -> None:
    assert synapse_events(synaptic_ops=5, macs=2, bytes_per_weight=1, n_targets=70_000) == EventCounts(
        synaptic_ops=5, macs=2, weight_read_bytes=7, index_read_bytes=28, state_read_bytes=28, state_write_bytes=28
    )


@pytest.mark.parametrize(("n_state_variables", "moved"), [(1, 40), (2, 80)])
def test_neuron_events_read_and_write_every_state_variable(n_state_variables: int, moved: int) -> None:
    assert neuron_events(spikes=3, neuron_updates=10, n_state_variables=n_state_variables) == EventCounts(
        spikes=3, neuron_updates=10, state_read_bytes=moved, state_write_bytes=moved
    )


def test_synapse_events_refuse_floats_before_they_can_cancel() -> None:
    with pytest.raises(HardwareError, match="GSM-504: synaptic_ops"):
        synapse_events(synaptic_ops=-3, macs=5, bytes_per_weight=1, n_targets=2)
    with pytest.raises(HardwareError, match="GSM-504: bytes_per_weight"):
        synapse_events(synaptic_ops=3, bytes_per_weight=0.5, n_targets=2)  # type: ignore[arg-type]


def test_synaptic_memory_is_weights_and_indices() -> None:
    assert LayerMemory(weight_bytes=np.int64(3), index_bytes=4, state_bytes=100).synapse_bytes == 7  # type: ignore[arg-type]


def test_a_negative_memory_is_refused() -> None:
    with pytest.raises(HardwareError, match="GSM-504: state_bytes"):
        LayerMemory(state_bytes=-1)


@pytest.mark.parametrize(
    ("field", "bad", "message"),
    [
        ("name", "", "a layer needs a name"),
        ("n_neurons", -1, "layer 'fc1': n_neurons"),
        ("n_synapses", 1.5, "layer 'fc1': n_synapses"),
        ("counts", {"spikes": 1}, "counts of the wrong type"),
        ("memory", 12, "memory of the wrong type"),
    ],
)
def test_a_malformed_layer_is_refused(field: str, bad: object, message: str) -> None:
    parts = {"name": "fc1", "n_neurons": 1, "n_synapses": 1, "counts": EventCounts(), "memory": LayerMemory()}
    with pytest.raises(HardwareError, match=message) as caught:
        LayerActivity(**{**parts, field: bad})  # type: ignore[arg-type]
    assert caught.value.code == "GSM-504"
