"""From events to billable counts, the same for every engine."""

import numpy as np

from ..compiler import Array
from ..hwmodels import EVENT_NAMES
from .plan import Plan

SPIKES = EVENT_NAMES.index("spikes")


class Counter:
    """Final. Adds up what happens in a run.

    Args:
        n_steps: of the run; those of a stream go on where a sample would end.
    spikes: (n_layers, n_steps) events of each population. visits: (n_projections, n_steps) synapses that they visit.
    """

    def __init__(self, plan: Plan, n_steps: int) -> None:
        self.plan = plan
        self.spikes = np.zeros((len(plan.populations), n_steps), np.int64)
        self.visits = np.zeros((len(plan.projections), n_steps), np.int64)

    def counts(self, n_samples: int) -> Array:
        """(n_layers, T, len(EVENT_NAMES)) int64 of so many samples: every neuron is updated in each step of each."""
        plan, spikes, visits = self.plan, self.spikes, self.visits
        if spikes.shape[1] > plan.n_steps:
            spikes, visits = (a.reshape(len(a), -1, plan.n_steps).sum(axis=1) for a in (spikes, visits))
        billed = visits[:, :, None] * plan.per_visit[:, None, :]
        counts: Array = (plan.leads_into @ billed.reshape(len(billed), -1)).reshape(len(spikes), *billed.shape[1:])
        counts += n_samples * plan.per_step[:, None, :]
        counts[:, :, SPIKES] += spikes
        return counts
