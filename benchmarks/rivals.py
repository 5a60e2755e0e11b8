"""Other people's simulators on the workloads: SpikingJelly, snnTorch and brainevent. Those that are installed are used.

make rivals && .venv-rivals/bin/python benchmarks/compare.py
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from dense_torch import dense_weight

from gossamer.compiler import SharedCsr, SynapticGraph

Runner = Callable[[np.ndarray], np.ndarray]


def installed(graph: SynapticGraph, n_steps: int) -> dict[str, Runner]:
    """By name, of those that can run the graph: (n_samples, n_outputs) spike counts."""
    found: dict[str, Runner] = {}
    if find_spec("spikingjelly"):
        found["SpikingJelly (multi-step, dense float32)"] = spikingjelly(graph, n_steps)
    if find_spec("snntorch"):
        found["snnTorch (dense float32)"] = snntorch(graph, n_steps)
    if find_spec("brainevent") and len(graph.input.shape) == 1:
        found["brainevent (CSR, jit, scan)"] = brainevent(graph)
    return found


def _layers(graph: SynapticGraph) -> list[tuple[Callable[[torch.Tensor], torch.Tensor], float | None]]:
    """(what it does to a batch, threshold) of each projection; no threshold where it pools spikes."""
    layers: list[tuple[Callable[[torch.Tensor], torch.Tensor], float | None]] = []
    for p in graph.projections:
        neuron = graph[p.target].neuron
        assert neuron is not None
        if not neuron.leak.all():
            layers.append((lambda s: F.max_pool2d(s, 2), None))
            continue
        weight = torch.from_numpy(dense_weight(graph, p))
        if isinstance(p, SharedCsr):
            step = lambda s, w=weight, pad=list(p.padding): F.conv2d(s, w, padding=pad)  # noqa: E731
        else:
            step = lambda s, w=weight: F.linear(s.flatten(1), w)  # noqa: E731
        layers.append((step, float(neuron.threshold)))
    return layers


def _steps(graph: SynapticGraph, x: np.ndarray, n_steps: int) -> torch.Tensor:
    """(n_steps, n_samples, *shape) float32."""
    s = torch.from_numpy(np.asarray(x))
    if graph.coding.kind == "direct" and graph.arithmetic == "int":
        s = torch.round(s.double() * graph.coding.levels)
    s = s.float()
    return s.transpose(0, 1).contiguous() if graph.coding.kind == "events" else s.expand(n_steps, *s.shape)


def spikingjelly(graph: SynapticGraph, n_steps: int) -> Runner:
    """All steps of a layer at once (step_mode "m"), reset by subtraction."""
    from spikingjelly.activation_based import neuron

    layers = [
        (step, None if at is None else neuron.IFNode(v_threshold=at, v_reset=None, step_mode="m"))
        for step, at in _layers(graph)
    ]

    @torch.inference_mode()
    def run(x: np.ndarray) -> np.ndarray:
        s = _steps(graph, x, n_steps)
        for step, node in layers:
            s = step(s.flatten(0, 1)).unflatten(0, (n_steps, -1))
            if node is not None:
                node.reset()
                s = node(s)
        return s.sum(0).flatten(1).numpy()

    return run


def snntorch(graph: SynapticGraph, n_steps: int) -> Runner:
    """Step by step, as snnTorch is used; beta = 1, reset by subtraction, firing at the threshold too."""
    from snntorch import Leaky

    def fires(over: torch.Tensor) -> torch.Tensor:
        return (over >= 0).float()

    # A delayed reset is the same where nothing leaks; reset_delay=False is not: a neuron that a reset leaves above its
    # threshold is reset once more before it can fire.
    options = {"beta": 1.0, "reset_mechanism": "subtract", "spike_grad": fires}
    layers = [(step, None if at is None else Leaky(threshold=at, **options)) for step, at in _layers(graph)]

    @torch.inference_mode()
    def run(x: np.ndarray) -> np.ndarray:
        given = _steps(graph, x, n_steps)
        membranes: list[torch.Tensor | None] = [None] * len(layers)
        total: torch.Tensor | float = 0.0
        for t in range(n_steps):
            s = given[t]
            for i, (step, node) in enumerate(layers):
                s = step(s)
                if node is not None:
                    v = torch.zeros_like(s) if membranes[i] is None else membranes[i]
                    s, membranes[i] = node(s, v)
            total = total + s
        assert isinstance(total, torch.Tensor)
        return total.flatten(1).numpy()

    return run


def brainevent(graph: SynapticGraph) -> Runner:
    """Binary events times CSR, step by step in a scan that JAX compiles."""
    import brainevent as be
    import jax
    import jax.numpy as jnp

    layers = []
    for p in graph.projections:
        shape = (graph[p.source].n_neurons, graph[p.target].n_neurons)
        parts = (
            jnp.asarray(p.weights, jnp.float32),
            jnp.asarray(p.targets, jnp.int32),
            jnp.asarray(p.row_start, jnp.int32),
        )
        layers.append((be.CSR(parts, shape=shape), float(graph[p.target].neuron.threshold)))  # type: ignore[union-attr]

    @jax.jit
    def whole(steps):  # type: ignore[no-untyped-def]
        def one(membranes, s):  # type: ignore[no-untyped-def]
            after = []
            for (matrix, at), v in zip(layers, membranes, strict=True):
                v = v + be.BinaryArray(s) @ matrix
                s = v >= at
                after.append(v - s * at)
            return after, s

        start = [jnp.zeros((steps.shape[1], matrix.shape[1])) for matrix, _ in layers]
        return jax.lax.scan(one, start, steps)[1].sum(0)

    return lambda x: np.asarray(whole(jnp.asarray(x.swapaxes(0, 1) != 0)))
