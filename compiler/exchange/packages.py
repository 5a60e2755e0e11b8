"""The optional packages of NIR, imported where they are used."""

from importlib import import_module
from types import ModuleType

from ..errors import CompileError


def optional_package(name: str) -> ModuleType:
    """Import "nir" or "h5py".

    Raises:
        CompileError: GSM-701 if it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise CompileError(
            "GSM-701", "optional package missing", found=name, remedy="pip install 'gossamer[nir]'"
        ) from None
