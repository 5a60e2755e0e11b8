"""A kernel of the event engine and its twin in C: compiled, called with the same arrays, compared, timed in turns."""

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.simulator import kernels

SOURCE = Path(__file__).with_name("c_twins.c")
# As Numba: a product and a sum are rounded one after the other, whole numbers wrap, and nobody looks at floats' traps.
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fwrapv", "-fno-trapping-math")
C_TYPES = {"float32": "float"} | {name: f"{name}_t" for name in ("int8", "int32", "int64", "uint16", "uint32")}


class _Array(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("shape", 3 * ctypes.c_int64))


def find_compiler() -> str | None:
    """Where gcc or another C compiler that takes its flags is."""
    return shutil.which("gcc") or shutil.which("cc")


def compiler() -> str:
    """Its name and version."""
    found = find_compiler()
    return subprocess.run([str(found), "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


@cache
def library(target: str, weight: str, number: str) -> ctypes.CDLL:
    """The twins for dtypes of a synapse's index, a weight and a current.

    Raises: RuntimeError: there is no C compiler.
    """
    found = find_compiler()
    if found is None:
        raise RuntimeError("no C compiler found: the twins need gcc, from the package of that name")
    types = {"TARGET": target, "WEIGHT": weight, "NUMBER": number}
    with tempfile.TemporaryDirectory() as folder:  # what is loaded stays after its file is gone
        file = Path(folder, "twins.so")
        named = [f"-D{name}={C_TYPES[dtype]}" for name, dtype in types.items()]
        subprocess.run([found, *FLAGS, *named, "-shared", "-fPIC", str(SOURCE), "-o", str(file)], check=True)
        return ctypes.CDLL(str(file))


def twin(name: str, arguments: Sequence[Any], target: str, weight: str, number: str) -> Callable[[], None]:
    """The C function of a kernel's name, ready to run on a kernel's arguments, which it changes as the kernel does."""
    function = library(target, weight, number)[name]
    function.restype = None
    flat = list(_flat(arguments))
    in_c = [_c_argument(a) for a in flat]
    return lambda arrays=flat: function(*in_c)  # C knows no more of the arrays than where they lie: they are held here


def _flat(arguments: Sequence[Any]) -> Iterator[Any]:
    """Tuples of numbers as one array, tuples of arrays one after the other."""
    for a in arguments:
        if not isinstance(a, tuple):
            yield a
        elif any(isinstance(part, np.ndarray) for part in a):
            yield from a
        else:
            yield np.array(a, np.int64)


def _c_argument(a: Any) -> Any:
    if isinstance(a, np.ndarray):
        assert a.flags.c_contiguous
        assert a.ndim <= 3
        return _Array(a.ctypes.data, (3 * ctypes.c_int64)(*a.shape))
    return ctypes.c_float(a) if isinstance(a, np.floating) else ctypes.c_int64(int(a))


@dataclass(eq=False)
class Case:
    """A kernel's call.

    layer: what it is called on. changed: which of the arguments it changes. n: synapses, or neurons and steps, that it
    goes through. types: dtypes of a synapse's index, a weight and a current.
    """

    kernel: str
    layer: str
    arguments: tuple[Any, ...]
    changed: tuple[int, ...]
    n: int
    types: tuple[Any, Any, Any]

    def __post_init__(self) -> None:
        self.before = [self.arguments[i].copy() for i in self.changed]

    @cached_property
    def runs(self) -> dict[str, Callable[[], None]]:
        """Ready to be called, by name."""
        in_c = twin(self.kernel, self.arguments, *(str(np.dtype(dtype)) for dtype in self.types))
        return {"numba": partial(getattr(kernels, self.kernel), *self.arguments), "c": in_c}

    def reset(self) -> None:
        """Write anew what a call changes."""
        for i, before in zip(self.changed, self.before, strict=True):
            np.copyto(self.arguments[i], before)

    def result(self, name: str) -> list[bytes]:
        """What a call leaves, of event lists what they hold."""
        self.reset()
        self.runs[name]()
        found = [self.arguments[i] for i in self.changed]
        if self.kernel.startswith("update"):
            ids, starts = self.arguments[-2:]
            found += [ids[b, : starts[b, -1]] for b in range(len(ids))]
        return [a.tobytes() for a in found]

    def check(self) -> None:
        """Raises: AssertionError: if one bit of what the two leave differs."""
        assert self.result("numba") == self.result("c"), f"{self.kernel}, {self.layer}: results differ"

    def seconds(
        self, rounds: int, rng: np.random.Generator, names: tuple[str, ...] = ("numba", "c")
    ) -> dict[str, list[float]]:
        """Of a call of each, `rounds` times."""
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for name in names:  # the first call also compiles
            self.reset()
            self.runs[name]()
        for _ in range(rounds):
            for name in rng.permutation(names):
                self.reset()
                started = time.perf_counter()
                self.runs[name]()
                seconds[name].append(time.perf_counter() - started)
        return seconds
