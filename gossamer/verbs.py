"""The verbs that join several folders: what the command line does, for Python."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .compiler import Network, SynapticGraph, compile_network
from .hwmodels import EnergyReport, price
from .simulator import Activity, load_activity

if TYPE_CHECKING:
    from .training.attacks import AttackReport
    from .training.data import Dataset


def compile(  # the builtin of this name is not meant, here or in `gossamer.compile`
    source: Network | str | Path,
    *,
    weight_bits: int | None = None,
    per: Literal["layer", "channel"] = "layer",
    unroll: bool = False,
    **nir_choices: Any,
) -> SynapticGraph:
    """Compile a network to its synaptic graph.

    Args:
        source: A network, or the path of a checkpoint or of a .nir file.
        weight_bits: Quantize to integers with this many bits; None keeps float32.
        per: One integer unit per "layer" or per "channel".
        unroll: Convolutions as explicit synapses too.
        **nir_choices: What a .nir file leaves open: see `from_nir`.
    Raises: GossamerError: GSM-1xx, GSM-2xx, GSM-3xx.
    """
    from .files import load_network

    network = source if isinstance(source, Network) else load_network(source, **nir_choices)
    return compile_network(network, weight_bits=weight_bits, per=per, unroll=unroll)


def energy(run: Activity | str | Path, chips: str | Sequence[str]) -> dict[str, EnergyReport]:
    """Price a run on one chip or on several.

    Args:
        run: What `simulate` returned, or the path of a saved run.
        chips: "chip", "chip:price-list" or the path of a .toml file; or several of them.
    Returns: One report per chip, by the name that was given.
    Raises: GossamerError: GSM-101..105 for the file, GSM-501..504 for a chip.
    """
    activity = run if isinstance(run, Activity) else load_activity(run)
    layers = activity.layer_activities()
    names = [chips] if isinstance(chips, str) else chips
    return {name: price(layers, name, activity.n_samples, n_steps=activity.n_steps) for name in names}
