"""Import a package that only some readers and attacks need."""

import importlib
from types import ModuleType

from ..errors import TrainingError


def import_optional(module: str, *, package: str, needed_for: str, extra: str = "train") -> ModuleType:
    """Import `module` of `package`, or say how to install it: with Gossamer's `extra`.

    Raises: TrainingError: GSM-701 if it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise TrainingError(
            "GSM-701",
            f"optional package {package!r} cannot be imported; {needed_for} needs it",
            where=module,
            found=error,
            expected=f"{package} in this Python environment",
            remedy=f"pip install 'gossamer[{extra}]'",
        ) from error
