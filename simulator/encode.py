"""Input coding: from samples to what the input population emits in each step."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from ..compiler import Array, InputCoding, Shape
from .errors import SimulationError
from .samples import Samples, part_of

LARGEST = np.finfo(np.float32).max
LOOKED_AT = 1024  # samples of which the largest number is sought together


def encode(
    x: Array,
    coding: InputCoding,
    shape: Shape,
    n_steps: int,
    *,
    integer: bool = False,
    first_sample: int = 0,
    as_bytes: bool = False,
) -> tuple[Array, bool]:
    """Steps of the input population, and whether every step is the same.

    Args:
        x: (n_samples, *shape): values in [0, 1] that the coding turns into steps; or (n_samples, n_steps, *shape):
            spikes (0 or 1) or, for "direct" and graded codings, numbers for each step.
        coding: how to encode. shape: the input population's shape. n_steps: T.
        integer: whole numbers out, in units of 1/levels ("direct") or 2^-phases (weighted "phase").
        first_sample: index of x[0] in its data set: sample i draws its Bernoulli spikes from (seed, i) alone.
        as_bytes: spikes as uint8, a quarter of the memory; numbers are not affected.
    Returns: ((n_samples, n_steps, n_neurons) float32 or int32 or uint8, is_constant). A constant input is a broadcast
    view. Raises: SimulationError: GSM-401 for the wrong shape, GSM-402 for values that are not finite or not spikes.
    """
    given_steps = holds_steps(x, shape, n_steps)
    _check_values(x)
    if given_steps:
        steps = x.reshape(len(x), n_steps, -1)
        if coding.kind == "events" and coding.graded and not (steps == np.rint(steps)).all():
            raise SimulationError(
                "GSM-402", "graded events are whole numbers", where="x", remedy='for real values use "direct" coding'
            )
        if not coding.is_real and not _are_spikes(steps):
            raise SimulationError(
                "GSM-402",
                "steps of a spiking input hold numbers other than 0 and 1",
                where="x",
                found=f"up to {steps.max()}",
                remedy="for event counts set the input coding's `graded`",
            )
        return _as_numbers(steps, coding, integer, as_bytes), False
    values = x.reshape(len(x), 1, -1).astype(np.float32, copy=False)
    if coding.kind == "direct":
        constant = _as_numbers(values, coding, integer)
        return np.broadcast_to(constant, (len(x), n_steps, values.shape[2])), True
    if coding.kind == "events":
        raise SimulationError(
            "GSM-401",
            "an input of events needs its steps",
            where="x",
            found=x.shape,
            expected=f"(n_samples, n_steps, {', '.join(map(str, shape))})",
        )
    if values.size and (values.min() < 0 or values.max() > 1):
        raise SimulationError(
            "GSM-402",
            f"{coding.kind} coding takes values in [0, 1]",
            where="x",
            found=f"{values.min():.4g}..{values.max():.4g}",
            remedy="divide 8-bit pixels by 255",
        )
    if coding.kind == "rate":
        return _as_numbers(_rate(values, coding, n_steps, first_sample), coding, integer, as_bytes), False
    if coding.kind == "phase":
        return _as_numbers(_phase(values, coding, n_steps), coding, integer, as_bytes), False
    spike_at = np.rint((1 - values) * (n_steps - 1))
    latency = (np.arange(n_steps)[None, :, None] == spike_at) & (values > 0)
    return _as_numbers(latency, coding, integer, as_bytes), False


def largest_number(x: Samples, coding: InputCoding) -> int:
    """A bound of the magnitudes that the input population emits in integer arithmetic, from samples as in `encode`."""
    if not coding.is_real and not (coding.kind == "events" and coding.graded):
        return 1
    largest = 1.0
    for begin in range(0, len(x), LOOKED_AT):
        part = part_of(x, begin, begin + LOOKED_AT)
        largest = max(largest, abs(float(part.max(initial=0))), abs(float(part.min(initial=0))))
        if not np.isfinite(largest):
            break
    return int(np.ceil(largest * _levels(coding))) if np.isfinite(largest) else 0  # `encode` refuses the infinite


def holds_steps(x: Samples, shape: Shape, n_steps: int) -> bool:
    """True if samples are given step by step, (n_samples, n_steps, *shape); False for (n_samples, *shape).

    Raises: SimulationError: GSM-401 for any other shape.
    """
    per_step, per_sample = (n_steps, *shape), tuple(shape)
    flat = (prod(shape),)
    if len(x.shape) < 2 or x.shape[1:] not in (per_step, per_sample, (n_steps, *flat), flat):
        sizes = ", ".join(map(str, shape))
        other_steps = len(x.shape) > 2 and x.shape[2:] in (tuple(shape), flat)
        raise SimulationError(
            "GSM-401",
            "data do not fit the network's input",
            where="x",
            found=x.shape,
            expected=f"(n_samples, {sizes}) or (n_samples, {n_steps}, {sizes})",
            remedy=f"if they hold {x.shape[1]} steps, simulate so many: --steps {x.shape[1]}" if other_steps else "",
        )
    return x.shape[1:] in (per_step, (n_steps, *flat)) and x.shape[1:] not in (per_sample, flat)


def check_type(x: Samples) -> None:
    """Raises: SimulationError: GSM-402 if samples are no real numbers."""
    if x.dtype.kind not in "biuf":
        raise SimulationError(
            "GSM-402", "data are not numbers", where="x", found=x.dtype, expected="integers or floats"
        )


def _check_values(x: Array) -> None:
    check_type(x)
    if x.dtype.kind == "f" and not (np.abs(x) <= LARGEST).all():
        n_bad = int((~(np.abs(x) <= LARGEST)).sum())
        raise SimulationError(
            "GSM-402",
            "data are not finite in float32",
            where="x",
            found=f"{n_bad} NaN, infinite or huge values",
            expected="finite numbers",
        )


def _are_spikes(steps: Array) -> bool:
    if steps.dtype.kind in "bu":
        return bool(steps.max(initial=0) <= 1)
    return bool(((steps == 0) | (steps == 1)).all())


def _as_numbers(steps: Array, coding: InputCoding, integer: bool, as_bytes: bool = False) -> Array:
    if as_bytes and not coding.is_real:
        return steps.astype(np.uint8, copy=False)
    if not integer:
        return steps.astype(np.float32, copy=False)
    whole = np.rint(steps.astype(np.float64) * _levels(coding))
    if np.abs(whole).max(initial=0) > 65535:
        raise SimulationError(
            "GSM-402", "input is too large for integer arithmetic", where="x", expected="<= 65535 units"
        )
    return whole.astype(np.int32)


def _levels(coding: InputCoding) -> int:
    """What 1 is in integer arithmetic."""
    return {"direct": coding.levels, "phase": 2**coding.phases if coding.weighted else 1}.get(coding.kind, 1)


def _rate(values: NDArray[np.float32], coding: InputCoding, n_steps: int, first_sample: int) -> NDArray[np.bool_]:
    draws = np.stack(
        [
            np.random.default_rng((coding.seed, first_sample + i)).random((n_steps, values.shape[2]), np.float32)
            for i in range(len(values))
        ]
    )
    return draws < values


def _phase(values: NDArray[np.float32], coding: InputCoding, n_steps: int) -> NDArray[np.float32]:
    """Bit planes of min(floor(2^K x), 2^K - 1), most significant first, repeated."""
    top = 1 << coding.phases
    whole = np.minimum(np.floor(values.astype(np.float64) * top), top - 1).astype(np.int64)
    plane = np.arange(n_steps) % coding.phases
    bits = (whole >> (coding.phases - 1 - plane)[None, :, None]) & 1
    weight = 0.5 ** (1 + plane)[None, :, None] if coding.weighted else 1.0
    return (bits * weight).astype(np.float32)
