"""Any acyclic network of the IR as a torch module: one executor for training, attacks, conversion and judging.

Populations run one after the other, each over all its steps at once. What is the same in every step, such as a
directly coded image and all that follows it up to the first spiking population, is computed once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast, overload

import torch
from torch import Tensor, nn

from ..compiler import STATE_SHIFT, CompileError, Network, Population, topological_order
from .encode import Bpda, as_numbers, encode
from .errors import TrainingError
from .fused_sum import Branch, can_sum, fused_sum
from .recompute import recomputed
from .surrogates import SpikeDerivative, Surrogate
from .torch_maps import TorchBatchNorm, TorchWeights
from .torch_parts import Arriving, TorchConnection, TorchPopulation, every_step


class TorchNetwork(nn.Module):
    """Final. Executes a network; parameters come from its maps and go back with `to_network`.

    Args:
        network: Acyclic, any arithmetic. Integer networks are evaluated exactly and cannot be trained.
        surrogate: d spike / d v of every spiking population; an attribute, so that an attack may use another.
        detach_reset: True keeps gradients from passing through the spike in the reset.
        train_thresholds: True makes the thresholds of spiking populations parameters.
        low_memory: True keeps nothing but spikes, a byte each, for the backward pass, which computes layers again.
        compile_neurons: True compiles the loops of neurons that are not fused: see `compiled_neurons`.
    Raises: TrainingError: GSM-608 if the network has a cycle.
    """

    def __init__(
        self,
        network: Network,
        *,
        surrogate: SpikeDerivative | None = None,
        detach_reset: bool = False,
        train_thresholds: bool = False,
        low_memory: bool = False,
        compile_neurons: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.surrogate: SpikeDerivative = surrogate or Surrogate()
        self.bpda: Bpda | None = None  # an attribute alone: what an attack knows of the input coding's gradient
        self.detach_reset = detach_reset
        self.low_memory = low_memory
        self.is_integer = network.arithmetic == "int"
        self.order = _acyclic_order(network)
        self.connections = nn.ModuleList(
            TorchConnection(c, network[c.source], network[c.target].shape) for c in network.connections
        )
        self.populations = nn.ModuleList(
            TorchPopulation(
                p, is_integer=self.is_integer, train_threshold=train_thresholds, is_compiled=compile_neurons
            )
            for p in network.populations
        )

    @overload
    def forward(self, x: Tensor, n_steps: int | None = None, record: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(
        self, x: Tensor, n_steps: int | None = None, *, record: Literal[True]
    ) -> tuple[Tensor, dict[str, Tensor]]: ...
    def forward(
        self, x: Tensor, n_steps: int | None = None, record: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Run samples.

        Args:
            x: (batch, *input shape) values in [0, 1] that the network's input coding turns into steps; or
                (T, batch, *input shape), what the input population emits in each step.
            n_steps: T; without it the steps given, or the network's own.
            record: True returns what every population emitted as well.
        Returns: (batch, n_outputs) float32 logits: mean over T of the readout's input, its final membrane if it has
            a neuron, or the sum over T of what the output population emits; with `record` also
            {population: (T, batch, *shape)} for every population but readouts.
        Raises: TrainingError: GSM-608 if x does not fit the input.
        """
        steps, n_steps = self.input_steps(x, n_steps)
        n_samples, is_stream = steps.shape[1], not self.network.reset_between_samples
        if is_stream:  # all samples are one long sample
            steps = every_step(steps, n_steps).transpose(0, 1).flatten(0, 1)[:, None]
        seen, emitted = self._run(steps, len(steps) if is_stream else n_steps, record=record)
        if is_stream:
            seen = _cut(seen, n_samples)
            emitted = {name: _cut(signal, n_samples) for name, signal in emitted.items()}
        logits = read_out(self.network[self.network.output], seen, n_steps)
        if not record:
            return logits
        return logits, {name: every_step(signal, n_steps) for name, signal in emitted.items()}

    def arriving(self, name: str, emitted: Mapping[str, Tensor], n_steps: int) -> Arriving:
        """What a population receives by all its connections; emitted: what their sources emitted."""
        incoming = [c for c in self._connections() if c.like.target == name]
        if len(incoming) == 1:
            norm, factor = incoming[0].tail()
            if norm is not None and factor is None and self.network[name].kind == "spiking":
                return Arriving(total=incoming[0](emitted[incoming[0].like.source], n_steps, leave=1), norm=norm)
        if len(incoming) == 2:
            return Arriving(total=_sum_of_two(incoming, emitted, n_steps), norm=None)
        parts = [c(emitted[c.like.source], n_steps) for c in incoming]
        return Arriving(total=sum(parts[1:], start=parts[0]), norm=None)

    def emit(self, name: str, arriving: Arriving, n_steps: int) -> Tensor:
        """What a population makes of what it receives: what it emits, or what a readout is read from."""
        population = self.population(name)
        return cast(Tensor, population(arriving.total, n_steps, self.surrogate, self.detach_reset, arriving.norm))

    def population(self, name: str) -> TorchPopulation:
        """The module of a population."""
        return next(p for p in self.populations_in_order() if p.like.name == name)

    def to_network(self) -> Network:
        """The network with the values that the parameters have now.

        Raises: CompileError: GSM-202 if one of them is not finite.
        """
        return replace(
            self.network,
            connections=tuple(c.to_connection() for c in self._connections()),
            populations=tuple(p.to_population() for p in self.populations_in_order()),
        )

    def weight_maps(self) -> dict[str, TorchWeights]:
        """The dense and convolution maps that can be pruned, by the population that they lead into, in order.

        A second map into the same population is called "name#2".
        """
        maps: dict[str, TorchWeights] = {}
        seen: Counter[str] = Counter()
        for connection in self._connections():
            for module in connection.weights():
                seen[connection.like.target] += 1
                n = seen[connection.like.target]
                maps[connection.like.target if n == 1 else f"{connection.like.target}#{n}"] = module
        return maps

    def batch_norms(self) -> list[TorchBatchNorm]:
        """Every batch norm."""
        return [m for m in self.modules() if isinstance(m, TorchBatchNorm)]

    def thresholds(self) -> list[nn.Parameter]:
        """The thresholds that are trained."""
        thresholds = (getattr(p, "threshold", None) for p in self.populations_in_order())
        return [t for t in thresholds if isinstance(t, nn.Parameter)]

    def _connections(self) -> list[TorchConnection]:
        return [c for c in self.connections if isinstance(c, TorchConnection)]

    def populations_in_order(self) -> list[TorchPopulation]:
        """The populations as modules, in the network's order."""
        return [p for p in self.populations if isinstance(p, TorchPopulation)]

    def input_steps(self, x: Tensor, n_steps: int | None) -> tuple[Tensor, int]:
        """(T or 1, batch, *shape) of what the input population emits, and T; x and n_steps as in `forward`."""
        network, shape = self.network, tuple(self.network.input.shape)
        if x.shape[2:] == shape and n_steps in (None, len(x)) and len(x) > 0:
            return as_numbers(x, network.coding, integer=self.is_integer), len(x)
        wanted = network.n_steps if n_steps is None else n_steps
        if x.shape[1:] == shape and wanted >= 1:
            return encode(x, network.coding, wanted, integer=self.is_integer, bpda=self.bpda), wanted
        raise TrainingError(
            "GSM-608",
            "samples do not fit the network's input",
            where=network.name,
            found=f"{tuple(x.shape)}, n_steps {n_steps}",
            expected=f"(batch, {', '.join(map(str, shape))}), or with T steps before the batch; n_steps >= 1",
        )

    def _run(self, steps: Tensor, n_steps: int, *, record: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """What the output population is read from, and what was emitted.

        Unless `record`, a signal that nobody needs any more is dropped.
        """
        emitted = {self.network.input.name: steps}
        readout = steps
        waiting = Counter(c.source for c in self.network.connections)
        for name in self.order:
            if name in emitted:
                continue
            sources = dict.fromkeys(c.source for c in self.network.incoming(name))
            signals = [emitted[source] for source in sources]
            for connection in self.network.incoming(name):
                waiting[connection.source] -= 1
                if not waiting[connection.source] and not record:
                    del emitted[connection.source]
            layer, kind = self._layer(name, tuple(sources), n_steps), self.network[name].kind
            if self.low_memory and kind in ("spiking", "join"):
                seen = recomputed(layer, signals, self._modules_of(name))
            else:
                seen = layer(*signals)
            del signals
            if kind != "readout":
                emitted[name] = seen
            if name == self.network.output:
                readout = seen
        return readout, emitted

    def _layer(self, name: str, sources: Sequence[str], n_steps: int) -> Callable[..., Tensor]:
        """From what the sources of its connections emit to what a population shows, with the surrogate of now."""
        population, surrogate, detach_reset = self.population(name), self.surrogate, self.detach_reset

        def layer(*signals: Tensor) -> Tensor:
            arriving = self.arriving(name, dict(zip(sources, signals, strict=True)), n_steps)
            return cast(Tensor, population(arriving.total, n_steps, surrogate, detach_reset, arriving.norm))

        return layer

    def _modules_of(self, name: str) -> list[nn.Module]:
        return [*(c for c in self._connections() if c.like.target == name), self.population(name)]


def _sum_of_two(incoming: Sequence[TorchConnection], emitted: Mapping[str, Tensor], n_steps: int) -> Tensor:
    """What two connections bring; the norms and factors with which they end are part of the sum where they can be."""
    tails = [c.tail() for c in incoming]
    branches = [
        Branch(
            x=c(emitted[c.like.source], n_steps, leave=sum(m is not None for m in tail)),
            norm=None if tail[0] is None else tail[0].as_norm(),
            factor=None if tail[1] is None else tail[1].scale,
        )
        for c, tail in zip(incoming, tails, strict=True)
    ]
    if can_sum(branches):
        return fused_sum(branches)
    parts = [_past(branch.x, tail) for branch, tail in zip(branches, tails, strict=True)]
    return parts[0] + parts[1]


def _past(x: Tensor, maps: Sequence[nn.Module | None]) -> Tensor:
    """(T, batch, ...), past some maps of a connection."""
    y = x.flatten(0, 1)
    for m in maps:
        y = y if m is None else m(y)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def read_out(output: Population, seen: Tensor, n_steps: int) -> Tensor:
    """(batch, n_outputs) float32 logits from what the output population shows in each step, (T or 1, batch, *shape)."""
    if output.kind != "readout":
        return every_step(seen, n_steps).sum(0).flatten(1).float()
    unit = torch.tensor(output.unit, dtype=seen.dtype, device=seen.device)
    if output.neuron is None:
        return (seen.mean(0) * unit).flatten(1).float()
    is_integer = output.neuron.threshold.dtype.kind != "f"
    return (seen[-1] * (unit / (1 << STATE_SHIFT) if is_integer else unit)).flatten(1).float()


def _cut(signal: Tensor, n_samples: int) -> Tensor:
    """One long sample, (n_samples * T, 1, *shape), as (T, n_samples, *shape)."""
    return signal.reshape(n_samples, -1, *signal.shape[2:]).transpose(0, 1)


def _acyclic_order(network: Network) -> list[str]:
    try:
        return topological_order(network.populations, network.connections, all_links=True)
    except CompileError as error:
        raise TrainingError(
            "GSM-608",
            "torch runs each population over all its steps at once, so the network must not have a cycle",
            where=network.name,
            found=error.found,
            expected="no recurrent connections",
            remedy="simulate it with gossamer.simulator, which goes step by step",
        ) from None
