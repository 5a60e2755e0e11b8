"""Packages that only pictures and pages need."""

from importlib import import_module
from types import ModuleType

from ..hwmodels import GossamerError


def optional_package(name: str, *, extra: str, needed_for: str) -> ModuleType:
    """Import `name`, or say how to install it.

    Raises: GossamerError: GSM-701.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise GossamerError(
            "GSM-701",
            f"optional package missing; {needed_for} needs it",
            found=str(error),
            expected=name.split(".")[0],
            remedy=f"pip install 'gossamer[{extra}]'",
        ) from None
