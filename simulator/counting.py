"""From events to billable counts, the same for every engine."""

import numpy as np

from ..compiler import Array
from ..hwmodels import EVENT_NAMES
from .kernels import bill
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
        plan, kernel = self.plan, bill
        counts: Array = np.zeros((len(plan.populations), plan.n_steps, len(EVENT_NAMES)), np.int64)
        kernel(self.spikes, self.visits, plan.into, plan.per_visit, plan.per_step, n_samples, SPIKES, counts)
        return counts
