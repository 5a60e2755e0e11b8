"""The compiled graph as a model that attacks can ask: what ships, and not the network that it was made from."""

from typing import TYPE_CHECKING, Literal

from .compiler import Array, SynapticGraph
from .hwmodels import GossamerError
from .simulator import simulate

if TYPE_CHECKING:
    from .training import BlackBox


def compiled_model(
    graph: SynapticGraph,
    *,
    n_steps: int | None = None,
    threads: int | None = None,
    engine: Literal["auto", "event", "bits"] = "auto",
) -> "BlackBox":
    """A torch module: (batch, *input shape) values in [0, 1] -> (batch, n_outputs) float32 logits, by simulation.

    It lets no gradient through; whoever wants one is refused (GSM-608). With "rate" coding the spikes of an image
    depend on its place in the batch, and are the same whenever it is asked.

    Args:
        graph: Of any arithmetic; samples do not depend on each other.
        n_steps, threads, engine: See `gossamer.simulate`, to which every call of the model is one call. It finds what
            it planned for the graph again.
    Raises: GossamerError: GSM-702 for a graph that keeps its state from sample to sample, GSM-701 without torch.
    """
    from .verbs import needs_torch

    needs_torch("an attack")
    from .training import BlackBox

    if not graph.reset_between_samples:
        raise GossamerError(
            "GSM-702",
            "an answer that depends on the images before it cannot be attacked image by image",
            where=graph.name,
            found="reset_between_samples = false",
            expected="a graph that begins anew with every sample",
        )

    def logits(x: Array) -> Array:
        return simulate(graph, x, n_steps=n_steps, threads=threads, engine=engine).logits

    return BlackBox(logits, name=f"graph {graph.name!r}")
