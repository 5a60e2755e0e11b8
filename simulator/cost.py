"""Which engine should be faster: a model of both, in cycles of a core, as measured with 512-bit vectors."""

from weakref import WeakKeyDictionary

import numpy as np

from .bit_plan import BitPlan
from .plan import Plan
from .samples import Samples, part_of

RATE = 0.05  # at which neurons are supposed to fire: nobody knows before the run
PER_VISIT = 3.0  # a synapse that an event visits; of a convolution, whose targets lie further apart:
PER_SHARED_VISIT = 7.0
PER_PRODUCT = 0.5  # a synapse that a number of a picture visits
PER_EVENT = 60.0
PER_UPDATE = 1.5  # a neuron, in one step
PER_BYTE_LAID = 1.0
PER_BYTE_SPREAD = 4.0  # to eight, for products
# What was found, as long as the plan is in use: to find it takes as long as a layer.
_BY_EVENTS: WeakKeyDictionary[Plan, tuple[float, float]] = WeakKeyDictionary()
_BY_BITS: WeakKeyDictionary[BitPlan, dict[int, float]] = WeakKeyDictionary()


def cycles_by_events(plan: Plan, x: Samples) -> float:
    """Of the event engine, for one sample like those of `x`."""
    if plan not in _BY_EVENTS:
        _BY_EVENTS[plan] = _event_cycles(plan)
    of_spikes_in, others = _BY_EVENTS[plan]
    coding = plan.graph.coding
    if coding.is_real:
        return others
    first = part_of(x, 0, 1)
    return others + of_spikes_in * (np.count_nonzero(first) / first.size if coding.kind == "events" else 0.5)


def cycles_by_bits(plan: BitPlan, n_samples: int) -> float:
    """Of the bit-parallel engine, for one of so many samples."""
    n = min(plan.n_samples, n_samples)
    known = _BY_BITS.setdefault(plan, {})
    if n not in known:
        known[n] = _bit_cycles(plan, n)
    return known[n]


def _event_cycles(plan: Plan) -> tuple[float, float]:
    """Of the spikes of an input that fires in every step, and of all else."""
    of_spikes_in = others = 0.0
    for p in plan.populations:
        spikes_in = p.kind == "input" and not plan.graph.coding.is_real
        steps, rate = plan.n_steps, 1.0 if spikes_in else RATE
        if p.emits_numbers:
            rate, steps = 1.0, 1 if p.kind == "input" and plan.input_is_immediate else steps
        others += PER_UPDATE * p.n_neurons * plan.n_steps
        for q in p.outgoing:
            per_visit = PER_SHARED_VISIT if q.multiply else PER_VISIT
            if q.multiply and p.kind == "input" and p.emits_numbers:
                per_visit = PER_PRODUCT
            cycles = steps * rate * p.n_neurons * (PER_EVENT + per_visit * q.mean_fan_out)
            if spikes_in:
                of_spikes_in += cycles
            else:
                others += cycles
    return of_spikes_in, others


def _bit_cycles(plan: BitPlan, n: int) -> float:
    total = 0.0
    for target in plan.targets:
        laid = sum(r.planes.size for _, r in target.spikes if r.planes is not None)
        spread = sum(d.n_sources * d.n_places for d in target.dense)
        each = PER_BYTE_LAID * laid + (PER_BYTE_LAID + PER_BYTE_SPREAD) * spread
        total += plan.n_chunks * (target.cycles(n) / n + each)
    return total
