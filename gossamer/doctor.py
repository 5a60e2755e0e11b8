"""A look at the installation: what is here, what is missing, what to do about it."""

import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .simulator import available_cores

NEEDED = ("numpy", "scipy", "numba", "safetensors", "pydantic", "typer", "rich")
OPTIONAL = {
    "torch": "train",
    "lightning-fabric": "train",
    "scikit-learn": "train",
    "pillow": "train",
    "nir": "nir",
    "h5py": "nir",
    "distributed": "dask",
    "matplotlib": "viz",
    "jinja2": "viz",
}
MODULE = {"lightning-fabric": "lightning_fabric", "scikit-learn": "sklearn", "pillow": "PIL"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. needed: without it, nothing can be simulated."""

    what: str
    found: str
    good: bool
    needed: bool = True
    remedy: str = ""

    @property
    def mark(self) -> str:
        """A sign for the table."""
        return "ok" if self.good else "MISSING" if self.needed else "-"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def examine(data_dir: Path | None = None) -> list[Finding]:
    """Everything, one by one. Nothing is written but a file in the cache folder, which is removed again."""
    return [_python(), *_packages(), *_processor(), *_devices(), _cache(), *_data(data_dir)]


def _python() -> Finding:
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Finding(
        what="Python",
        found=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        good=good,
        remedy="" if good else "use Python 3.11, 3.12 or 3.13",
    )


def _packages() -> list[Finding]:
    findings = [
        Finding(what="gossamer", found=_version("gossamer") or "not installed", good=_version("gossamer") is not None)
    ]
    for name in NEEDED:
        findings.append(_package(name, needed=True, remedy="pip install gossamer"))
    for name, extra in OPTIONAL.items():
        findings.append(_package(name, needed=False, remedy=f"pip install 'gossamer[{extra}]'"))
    return findings


def _package(name: str, *, needed: bool, remedy: str) -> Finding:
    found = _version(name) if find_spec(MODULE.get(name, name)) is not None else None
    return Finding(
        what=name, found=found or "not installed", good=found is not None, needed=needed, remedy="" if found else remedy
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> list[Finding]:
    cores = available_cores()
    findings = [Finding(what="cores", found=f"{cores} to use, {os.cpu_count()} in the machine", good=True)]
    try:
        llvm = import_module("llvmlite.binding")
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
        widths = [name for name in ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve") if features.get(name)]
        findings.append(
            Finding(what="processor, as numba sees it", found=f"{cpu}: {', '.join(widths) or 'no vectors'}", good=True)
        )
    except Exception as error:
        findings.append(
            Finding(
                what="processor, as numba sees it",
                found=f"{type(error).__name__}: {error}",
                good=False,
                remedy="reinstall numba and llvmlite: pip install --force-reinstall numba",
            )
        )
    return findings


def _devices() -> list[Finding]:
    """In a process of its own: torch takes long to import, and may fail."""
    if find_spec("torch") is None:
        return []
    code = "from gossamer.training import usable_devices; print(*usable_devices(), sep=', ')"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    good, said = asked.returncode == 0, (asked.stdout or asked.stderr).strip().splitlines()
    return [
        Finding(
            what="devices, as torch sees them",
            found=said[-1] if said else f"exit status {asked.returncode}",
            good=good,
            needed=False,
            remedy="" if good else "reinstall torch",
        )
    ]


def _cache() -> Finding:
    """Numba keeps compiled kernels beside their source, or in its own cache folder."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    folders = [Path(named)] if named else [_kernels_folder(), Path.home() / ".cache"]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return Finding(what="folder for compiled kernels", found=str(folder), good=True, needed=False)
        except OSError:
            continue
    return Finding(
        what="folder for compiled kernels",
        found=f"not writable: {', '.join(map(str, folders))}",
        good=False,
        needed=False,
        remedy="set NUMBA_CACHE_DIR to a folder that may be written, or kernels are compiled in every run",
    )


def _kernels_folder() -> Path:
    spec = find_spec("gossamer.simulator.kernels")
    return Path(spec.origin).parent / "__pycache__" if spec and spec.origin else Path.home()


def _data(data_dir: Path | None) -> list[Finding]:
    from .hwmodels import GossamerError
    from .training.data import list_datasets, load_dataset

    root = Path(os.environ.get("GOSSAMER_DATA") or "data") if data_dir is None else data_dir
    there = root.is_dir()
    findings = [
        Finding(
            what="folder of data sets",
            found=f"{root}{'' if there else ' (no such folder)'}",
            good=there,
            needed=False,
            remedy="" if there else "name it with GOSSAMER_DATA or --data-dir; `digits` needs none",
        )
    ]
    for name in list_datasets():
        try:
            found, good = repr(load_dataset(name, "test", root=root)), True
        except GossamerError as error:
            found, good = error.what, False
        findings.append(Finding(what=f"data set {name}", found=found, good=good, needed=False))
    return findings
