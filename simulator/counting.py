"""From events to billable counts, the same for every engine."""

import numpy as np

from ..compiler import Array
from ..hwmodels import EVENT_NAMES
from .plan import Plan, ProjectionPlan

SPIKES = EVENT_NAMES.index("spikes")


class Counter:
    """Final. Adds up what happens in a run.

    counts: (n_layers, n_steps, len(EVENT_NAMES)) int64. Steps of a stream go on where a sample would end, and are
    counted with those of the first.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counts = np.zeros((len(plan.populations), plan.n_steps, len(EVENT_NAMES)), np.int64)

    def emitted(self, name: str, first_step: int, events: Array) -> None:
        """Events (n,) of a population in n steps."""
        self._steps(name, first_step, len(events))[:, SPIKES] += events

    def visited(self, q: ProjectionPlan, first_step: int, visits: Array) -> None:
        """Synapses (n,) of a projection that the events of n steps visit."""
        self._steps(q.target, first_step, len(visits))[:] += visits[:, None] * q.per_visit

    def updated(self, n_samples: int) -> None:
        """Every neuron but those of the input, once in each step of each sample."""
        for row, p in enumerate(self.plan.populations):
            self.counts[row] += n_samples * p.per_step

    def _steps(self, name: str, first_step: int, n: int) -> Array:
        step = first_step % self.plan.n_steps
        return self.counts[self.plan.row(name), step : step + n]
