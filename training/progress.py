"""What training tells while it runs. Training itself prints nothing."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One batch done.

    stage: "dense", "prune", "finetune", "convert" or "snn".
    epoch, n_epochs: 1 ... n_epochs. batch, n_batches: 1 ... n_batches of this epoch.
    loss, accuracy: running means over the epoch, on training batches; NaN where a stage has none.
    seconds_left: estimated for the rest of this stage.
    """

    stage: str
    epoch: int
    n_epochs: int
    batch: int
    n_batches: int
    loss: float
    accuracy: float
    seconds_left: float


ProgressCallback = Callable[[Progress], None]
