"""What a file is, told by its content and not by its name."""

from pathlib import Path
from typing import Any

from .compiler import Network, SynapticGraph, compile_network, container_kind, load_checkpoint, load_graph
from .hwmodels import GossamerError

HDF5 = b"\x89HDF\r\n\x1a\n"


def file_kind(path: str | Path) -> str:
    """ "checkpoint", "graph", "activity", "training-state" or "nir".

    Raises: GossamerError: GSM-101 not readable, GSM-102 none of these, GSM-104 damaged.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(len(HDF5)) == HDF5:
                return "nir"
    except OSError:
        pass  # container_kind says what is wrong
    return container_kind(path)


def load_network(path: str | Path, **nir_choices: Any) -> Network:
    """The network in a checkpoint or in a .nir file.

    Raises: GossamerError: GSM-1xx for the file; GSM-3xx for what a .nir file leaves open; GSM-702 for choices that a
        checkpoint has made already.
    """
    kind = file_kind(path)
    if kind == "nir":
        from .verbs import from_nir

        return from_nir(path, **nir_choices)
    if kind == "checkpoint" and nir_choices:
        raise GossamerError(
            "GSM-702",
            "a checkpoint states this itself; only a .nir file leaves it open",
            where=str(path),
            found=", ".join(nir_choices),
            remedy="leave the option out",
        )
    if kind == "graph":
        raise GossamerError(
            "GSM-102",
            "this is a compiled graph already",
            where=str(path),
            found=kind,
            expected="a checkpoint or a .nir file",
        )
    return load_checkpoint(path)


def load_graph_of(path: str | Path, **nir_choices: Any) -> SynapticGraph:
    """The graph in a file, or what a checkpoint or a .nir file compiles to; other files than .nir leave no choices.

    Raises: GossamerError: GSM-1xx for the file; GSM-3xx for what a .nir file leaves open.
    """
    kind = file_kind(path)
    if kind == "graph":
        return load_graph(path)
    return compile_network(load_network(path, **(nir_choices if kind == "nir" else {})))


def load_runnable(path: str | Path) -> tuple[SynapticGraph, bool]:
    """A graph that can be simulated, and whether it had to be compiled (a checkpoint is, without quantization).

    Raises: GossamerError: GSM-1xx for the file; GSM-702 for a .nir file, which leaves too much open.
    """
    kind = file_kind(path)
    if kind == "nir":
        raise GossamerError(
            "GSM-702",
            "a .nir file must be compiled first",
            where=str(path),
            found="NIR",
            expected="a graph or a checkpoint",
            remedy="gossamer compile FILE.nir -o GRAPH",
        )
    if kind == "checkpoint":
        return compile_network(load_checkpoint(path)), True
    return load_graph(path), False
