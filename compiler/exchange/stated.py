"""What Gossamer writes into a NIR file's metadata, so that its own files leave nothing open.

A neuron's node has metadata {"gossamer": JSON}, with the fields of NirChoices that it fixes, and "gossamer_v_init"
where the initial membrane is not zero; the graph's holds what belongs to the network. Other tools ignore both.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from .choices import NirChoices
from .nir_graph import NirNode

METADATA_VERSION = 1
KEY, V_INIT_KEY = "gossamer", "gossamer_v_init"


def metadata_of(stated: Mapping[str, Any], v_init: Array | None = None) -> dict[str, Any]:
    """Metadata for a node or a graph. v_init: float32, or None for zeros."""
    text = json.dumps({"version": METADATA_VERSION, **stated}, sort_keys=True)
    return {KEY: text} if v_init is None else {KEY: text, V_INIT_KEY: v_init}


def stated_in(metadata: Mapping[str, Any], *, where: str) -> dict[str, Any] | None:
    """What our metadata say; None in a file of another tool.

    Raises:
        CompileError: GSM-103 if a newer Gossamer wrote them, GSM-105 if they are no JSON object.
    """
    if KEY not in metadata:
        return None
    text = metadata[KEY]
    try:
        stated = json.loads(text.decode("utf8") if isinstance(text, bytes) else text)
        version = stated.pop("version")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise CompileError("GSM-105", "metadata are damaged", where=f"{where}, metadata {KEY!r}", found=error) from None
    if not isinstance(version, int) or version > METADATA_VERSION:
        raise CompileError(
            "GSM-103", "written by a newer Gossamer", where=f"{where}, metadata {KEY!r}", found=version,
            expected=f"<= {METADATA_VERSION}", remedy="upgrade: pip install -U gossamer",
        )  # fmt: skip
    return dict(stated)


def with_stated(node: NirNode, choices: NirChoices) -> tuple[NirChoices, bool]:
    """The choices for one node: what the file states, then what the caller states; and whether the file is ours.

    Raises:
        CompileError: GSM-303 if the caller contradicts the file; as `stated_in`.
    """
    stated = stated_in(node.metadata, where=node.where)
    if stated is None:
        return choices, False
    fixed = ("reset", "comparator", "dt", "update_order", "reset_delay")
    known = {k: v for k, v in stated.items() if k in fixed}
    for name in ("reset", "comparator", "dt"):
        ours = getattr(choices, name)
        if ours is not None and known.get(name, ours) != ours:
            raise CompileError(
                "GSM-303", f"the file states another {name}", where=node.where, found=ours, expected=str(known[name]),
                remedy=f"leave {name} out: the file says all that is needed",
            )  # fmt: skip
    # Our files follow NIR's equations under forward Euler.
    plain = replace(
        choices, decay="euler", integrator_input="scaled", membrane_input="scaled", readout_input="scaled",
        synapse_input="scaled", spikes_per_step="one",
    )  # fmt: skip
    try:
        return replace(plain, **known), True
    except TypeError as error:
        raise CompileError("GSM-105", "metadata are damaged", where=f"{node.where}, {KEY!r}", found=error) from None


def v_init_in(node: NirNode, n_neurons: int) -> Array:
    """The initial membrane that our metadata state, one number or one per neuron: zero if they do not.

    Raises:
        CompileError: GSM-105 if they hold something else.
    """
    array = np.asarray(node.metadata.get(V_INIT_KEY, 0.0))
    if array.dtype.kind not in "iuf" or array.size not in (1, n_neurons):
        raise CompileError(
            "GSM-105", "metadata are damaged", where=f"{node.where}, {V_INIT_KEY!r}",
            found=f"{array.dtype} {array.shape}", expected=f"{n_neurons} numbers",
        )  # fmt: skip
    return array.astype(np.float64)
