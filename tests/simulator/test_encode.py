"""Input codings against their closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import refusal

from gossamer.compiler import InputCoding
from gossamer.simulator import SimulationError, encode


def one_value(x, coding, n_steps, **options):
    """What one input of one sample emits."""
    steps, _ = encode(np.full((1, 1), x), coding, (1,), n_steps, **options)
    return steps[0, :, 0].tolist()


def test_direct_coding_is_the_value_in_every_step():
    steps, is_constant = encode(np.array([[0.25, -3.0]]), InputCoding(), (2,), 3)
    np.testing.assert_array_equal(steps, [[[0.25, -3.0]] * 3])
    assert (is_constant, steps.dtype) == (True, np.float32)


@pytest.mark.parametrize("levels", [1, 15, 255, 65535])
def test_direct_coding_of_pixels_is_whole_in_integers(levels):
    k = np.arange(0, levels + 1, max(1, levels // 255))
    steps, is_constant = encode(k[None] / levels, InputCoding(levels=levels), k.shape, 2, integer=True)
    np.testing.assert_array_equal(steps[0], [k, k])
    assert (is_constant, steps.dtype) == (True, np.int32)


@pytest.mark.parametrize("phases", [1, 3, 8, 16])
def test_phase_coding_of_pixels_is_their_bits_most_significant_first(phases):
    top = 2**phases - 1
    k = np.unique(np.linspace(0, top, 300).astype(int))
    coding = InputCoding(kind="phase", phases=phases)
    steps, is_constant = encode(k[None] / top, coding, k.shape, 2 * phases)
    assert not is_constant
    for plane in range(phases):
        np.testing.assert_array_equal(steps[0, plane], (k >> (phases - 1 - plane)) & 1)
        np.testing.assert_array_equal(steps[0, phases + plane], steps[0, plane])


def test_phase_coding_takes_the_floor_and_one_is_all_ones():
    coding = InputCoding(kind="phase", phases=2)
    assert [one_value(x, coding, 2) for x in (0.0, 0.24, 0.25, 0.5, 0.99, 1.0)] == [
        [0, 0],
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
        [1, 1],
    ]


def test_weighted_phases_add_up_to_the_value():
    coding = InputCoding(kind="phase", phases=8, weighted=True)
    assert coding.is_real
    for k in (0, 1, 100, 255):
        planes = one_value(k / 255, coding, 8)
        assert sum(planes) == k / 256
        assert one_value(k / 255, coding, 8, integer=True) == [256 * p for p in planes]


@pytest.mark.parametrize("n_steps", [1, 2, 5, 8])
def test_latency_coding_is_one_spike_the_earlier_the_larger(n_steps):
    values = np.linspace(0, 1, 41)
    steps, _ = encode(values[None], InputCoding(kind="latency"), values.shape, n_steps)
    np.testing.assert_array_equal(steps[0].sum(axis=0), values > 0)
    for value, train in zip(values[1:], steps[0].T[1:], strict=True):
        assert train.argmax() == np.rint((1 - np.float32(value)) * (n_steps - 1))


def test_rate_coding_draws_from_the_seed_and_the_sample_alone():
    coding = InputCoding(kind="rate", seed=5)
    x = np.random.default_rng(0).random((6, 1, 2, 3))
    together, is_constant = encode(x, coding, (1, 2, 3), 7)
    apart = [encode(x[i : i + 1], coding, (1, 2, 3), 7, first_sample=i)[0] for i in range(6)]
    np.testing.assert_array_equal(together, np.concatenate(apart))
    assert not is_constant
    np.testing.assert_array_equal(encode(x, coding, (1, 2, 3), 9)[0][:, :7], together)
    assert (encode(x, InputCoding(kind="rate", seed=6), (1, 2, 3), 7)[0] != together).any()
    assert (encode(x, coding, (1, 2, 3), 7, first_sample=1)[0] != together).any()


def test_rate_coding_spikes_as_often_as_its_value_says():
    x = np.repeat([[0.0, 0.1, 0.5, 1.0]], 2, axis=0)
    steps, _ = encode(x, InputCoding(kind="rate"), (4,), 20_000)
    np.testing.assert_allclose(steps.mean(axis=(0, 1)), x[0], atol=0.01)
    assert steps[..., 0].sum() == 0
    assert steps[..., 3].all()


def test_events_are_passed_on_as_they_are():
    x = np.random.default_rng(1).integers(0, 2, (2, 3, 4))
    for coding in ("events", "rate", "phase", "latency"):
        steps, is_constant = encode(x, InputCoding(kind=coding), (4,), 3)
        np.testing.assert_array_equal(steps, x)
        assert not is_constant
    graded = 5 * x - 2
    np.testing.assert_array_equal(encode(graded, InputCoding(kind="events", graded=True), (4,), 3)[0], graded)
    np.testing.assert_array_equal(encode(x * 0.7, InputCoding(), (4,), 3)[0], (x * 0.7).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_samples_may_have_any_type_of_number_and_any_layout(dtype):
    x = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]]], dtype)
    expected = x.astype(np.float32)
    for coding in (InputCoding(), InputCoding(kind="events")):
        np.testing.assert_array_equal(encode(x, coding, (2,), 2)[0], expected)
        np.testing.assert_array_equal(encode(np.asfortranarray(x), coding, (2,), 2)[0], expected)
        np.testing.assert_array_equal(encode(x[::-1], coding, (2,), 2)[0], expected[::-1])


def test_flat_samples_fit_a_picture_of_as_many_pixels():
    x = np.random.default_rng(2).random((2, 12))
    steps, _ = encode(x, InputCoding(), (3, 2, 2), 1)
    np.testing.assert_array_equal(steps[:, 0], x.astype(np.float32))
    in_steps = np.random.default_rng(2).random((2, 5, 12))
    assert encode(in_steps, InputCoding(), (3, 2, 2), 5)[0].shape == (2, 5, 12)


@settings(max_examples=60)
@given(st.sampled_from(["rate", "phase", "latency", "events"]), st.booleans(), st.integers(1, 6), st.integers(0, 99))
def test_what_is_no_real_coding_emits_zeros_and_ones(kind, integer, n_steps, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (3, n_steps, 4)) if kind == "events" else rng.random((3, 4))
    steps, _ = encode(x, InputCoding(kind=kind), (4,), n_steps, integer=integer)
    assert set(np.unique(steps)) <= {0, 1}
    assert steps.shape == (3, n_steps, 4)
    assert steps.dtype == (np.int32 if integer else np.float32)


@pytest.mark.parametrize(
    ("x", "coding", "code"),
    [
        (np.ones((2, 5)), "direct", "GSM-401"),
        (np.ones((2, 2, 4)), "direct", "GSM-401"),
        (np.ones(4), "direct", "GSM-401"),
        (np.ones((2, 3, 2, 2)), "direct", "GSM-401"),
        (np.ones((2, 4)), "events", "GSM-401"),
        (np.full((2, 4), np.nan), "direct", "GSM-402"),
        (np.full((2, 4), -np.inf), "direct", "GSM-402"),
        (np.full((2, 4), 1e39), "direct", "GSM-402"),
        (np.full((2, 4), 1.01), "rate", "GSM-402"),
        (np.full((2, 4), -0.01), "phase", "GSM-402"),
        (np.full((2, 4), 255, np.uint8), "latency", "GSM-402"),
        (np.full((2, 3, 4), 2), "events", "GSM-402"),
        (np.full((2, 3, 4), 0.5), "rate", "GSM-402"),
        (np.full((2, 4), "a"), "direct", "GSM-402"),
        (np.full((2, 4), 1j), "direct", "GSM-402"),
    ],
)
def test_data_that_do_not_fit_are_refused(x, coding, code):
    refusal(lambda: encode(x, InputCoding(kind=coding), (4,), 3), code, error=SimulationError)


def test_graded_events_are_whole_numbers():
    coding = InputCoding(kind="events", graded=True)
    refusal(lambda: encode(np.full((1, 1, 1), 0.5), coding, (1,), 1), "GSM-402", error=SimulationError)


def test_integers_hold_16_bits_of_input():
    x = np.array([[257.0]])
    assert encode(x, InputCoding(), (1,), 1, integer=True)[0].item() == 65535
    refusal(lambda: encode(x + 1, InputCoding(), (1,), 1, integer=True), "GSM-402", error=SimulationError)


def test_the_message_says_which_shapes_would_fit():
    error = refusal(lambda: encode(np.ones((2, 5)), InputCoding(), (3, 2, 2), 4), "GSM-401", error=SimulationError)
    assert error.expected == "(n_samples, 3, 2, 2) or (n_samples, 4, 3, 2, 2)"
