"""What `training` refuses: one class, the codes GSM-6xx (docs/reference/errors/)."""

from ..compiler import GossamerError


class TrainingError(GossamerError):
    """A data set, a data file or a training call that is refused (GSM-6xx)."""
