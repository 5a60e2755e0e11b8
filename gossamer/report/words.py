"""A run in one line."""

from ..simulator import Activity
from . import numbers
from .text import clean


def run_line(run: Activity) -> str:
    """Which network, how many samples and steps, how accurate, how fast."""
    accuracy = "" if run.accuracy is None else f", accuracy {numbers.percent(run.accuracy)}"
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}, {run.engine} engine"
    return clean(
        f"{run.graph}: {run.arithmetic}, {numbers.count(run.n_samples)} samples x {run.n_steps} steps{accuracy}; "
        f"{numbers.duration(run.seconds)} on {threads}"
    )
