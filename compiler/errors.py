"""The error class of the compiler."""

from ..hwmodels import GossamerError


class CompileError(GossamerError):
    """A file, a network or a compilation that is refused (GSM-1xx, GSM-2xx, GSM-3xx)."""
