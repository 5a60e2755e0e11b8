"""Any acyclic network of the IR as a torch module: one executor for training, attacks, conversion and judging.

Populations run one after the other, each over all its steps at once. What is the same in every step, such as a
directly coded image and all that follows it up to the first spiking population, is computed once: such a signal has
one step, (1, batch, *shape).
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor, nn

from ..compiler import (
    STATE_SHIFT,
    Array,
    CompileError,
    Connection,
    Dense,
    Network,
    Neuron,
    Population,
    Shape,
    Sparse,
    topological_order,
)
from .encode import as_numbers, encode
from .errors import TrainingError
from .integer_neurons import integer_multi_step
from .neurons import Row, multi_step, step_by_step
from .surrogates import Surrogate
from .torch_maps import TorchBatchNorm, TorchMap, TorchWeights, split_by_delay, to_array, to_module

COEFFICIENTS = ("threshold", "leak", "current_decay", "v_init")


class TorchConnection(nn.Module):
    """Final. One connection: for each delay a chain of maps."""

    def __init__(self, connection: Connection, source_shape: Shape) -> None:
        super().__init__()
        self.like = connection
        self.target_steps: list[int] = []
        self.chains = nn.ModuleList()
        first = connection.maps[0] if connection.maps else None
        self.is_delayed_by_synapse = isinstance(first, (Dense, Sparse)) and first.delays is not None
        if isinstance(first, (Dense, Sparse)) and self.is_delayed_by_synapse:
            chains = [(delay, (m,)) for delay, m in split_by_delay(first)]
        else:
            chains = [(0, connection.maps)]  # type: ignore[list-item]
        for delay, maps in chains:
            shape, modules = source_shape, nn.ModuleList()
            for m in maps:
                modules.append(to_module(m, shape))
                shape = m.output_shape(shape)
            self.chains.append(modules)
            self.target_steps.append(connection.delay + delay)
        if self.is_delayed_by_synapse:
            self.requires_grad_(False)

    def forward(self, emitted: Tensor, n_steps: int, target_shape: Shape) -> Tensor:
        """(T or 1, batch, *source shape) -> (T or 1, batch, *target shape)."""
        total: Tensor | None = None
        for delay, chain in zip(self.target_steps, self.chains, strict=True):
            x = _delayed(emitted, delay, n_steps)
            steps, batch = x.shape[:2]
            x = x.flatten(0, 1)
            for module in chain:  # type: ignore[attr-defined]
                x = module(x)
            x = x.reshape(steps, batch, *target_shape)
            total = x if total is None else total + x
        assert total is not None  # noqa: S101 - there is at least one chain
        return total

    def to_connection(self) -> Connection:
        """The connection with the values that the parameters have now."""
        if self.is_delayed_by_synapse:
            return self.like
        modules = [m for m in self.chains[0] if isinstance(m, TorchMap)]  # type: ignore[attr-defined]
        return replace(self.like, maps=tuple(m.to_map() for m in modules))


class TorchPopulation(nn.Module):
    """Final. One population: its bias and its neuron's coefficients.

    The bias is a parameter unless it is the single number 0; the threshold is one if `train_threshold`.
    """

    def __init__(self, population: Population, *, is_integer: bool, train_threshold: bool) -> None:
        super().__init__()
        self.like = population
        bias = torch.tensor(population.bias, dtype=torch.int64 if is_integer else torch.float32)
        self.bias: Tensor
        if is_integer or (population.bias.ndim == 0 and not population.bias):
            self.register_buffer("bias", bias)
        else:
            self.register_parameter("bias", nn.Parameter(bias))
        if population.neuron is not None:
            for name in COEFFICIENTS:
                value = torch.tensor(getattr(population.neuron, name), dtype=bias.dtype)
                if name == "threshold" and train_threshold and not is_integer and population.kind == "spiking":
                    self.register_parameter(name, nn.Parameter(value))
                else:
                    self.register_buffer(name, value)

    def row(self, *, detach_reset: bool) -> Row:
        """The neuron's coefficients as tensors."""
        coefficients = {name: getattr(self, name) for name in COEFFICIENTS}
        return Row(**coefficients, like=_neuron(self.like), detach_reset=detach_reset)

    def to_population(self) -> Population:
        """The population with the values that the parameters have now."""
        population = self.like
        if isinstance(self.bias, nn.Parameter):
            population = replace(population, bias=to_array(self.bias))
        if population.neuron is not None and isinstance(self.threshold, nn.Parameter):
            neuron = replace(population.neuron, threshold=to_array(self.threshold))
            population = replace(population, neuron=neuron)
        return population


class TorchNetwork(nn.Module):
    """Final. Executes a network; parameters come from its maps and go back with `to_network`.

    Args:
        network: Acyclic, any arithmetic. Integer networks are evaluated exactly and cannot be trained.
        surrogate: d spike / d v of every spiking population; an attribute, so an attack may use another.
        detach_reset: True keeps gradients from passing through the spike in the reset.
        train_thresholds: True makes the thresholds of spiking populations parameters.
    Raises: TrainingError: GSM-608 if the network has a cycle.
    """

    def __init__(
        self,
        network: Network,
        *,
        surrogate: Surrogate | None = None,
        detach_reset: bool = False,
        train_thresholds: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.surrogate = surrogate or Surrogate()
        self.detach_reset = detach_reset
        self.is_integer = network.arithmetic == "int"
        self.order = _acyclic_order(network)
        self.connections = nn.ModuleList(TorchConnection(c, network[c.source].shape) for c in network.connections)
        self.populations = nn.ModuleDict(
            {
                _key(p.name): TorchPopulation(p, is_integer=self.is_integer, train_threshold=train_thresholds)
                for p in network.populations
            }
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
        Returns: (batch, n_outputs) logits: mean over T of the readout's input, its final membrane if it has a
            neuron, or the sum over T of what the output population emits; with `record` also
            {population: (T, batch, *shape)}.
        Raises: TrainingError: GSM-608 if x does not fit the input.
        """
        steps, n_steps = self._steps(x, n_steps)
        if not self.network.reset_between_samples:  # a stream: all samples are one long sample
            batch = steps.shape[1]
            steps = _every_step(steps, n_steps).transpose(0, 1).reshape(batch * n_steps, 1, *steps.shape[2:])
            return self._unchain(steps, batch, n_steps, record)
        logits, emitted = self._run(steps, n_steps, record=record)
        if not record:
            return self._logits(logits, n_steps)
        return self._logits(logits, n_steps), {name: _every_step(e, n_steps) for name, e in emitted.items()}

    def current(self, x: Tensor, name: str, n_steps: int | None = None) -> Tensor:
        """(T or 1, batch, *shape) input current of one population, bias included: what its threshold is set from."""
        steps, n_steps = self._steps(x, n_steps)
        return self._run(steps, n_steps, until=name)[0]

    def to_network(self) -> Network:
        """The network with the values that the parameters have now.

        Raises: CompileError: GSM-202 if one of them is not finite.
        """
        connections = tuple(c.to_connection() for c in self.connections if isinstance(c, TorchConnection))
        populations = tuple(self._population(p.name).to_population() for p in self.network.populations)
        return replace(self.network, populations=populations, connections=connections)

    def weight_maps(self) -> dict[str, TorchWeights]:
        """The dense and convolution maps that can be pruned, by the population they lead into, in order.

        A second map into the same population is called "name#2".
        """
        maps: dict[str, TorchWeights] = {}
        count: Counter[str] = Counter()
        for connection in self.connections:
            if isinstance(connection, TorchConnection) and not connection.is_delayed_by_synapse:
                for module in connection.chains[0]:  # type: ignore[attr-defined]
                    if isinstance(module, TorchWeights):
                        target = connection.like.target
                        count[target] += 1
                        maps[target if count[target] == 1 else f"{target}#{count[target]}"] = module
        return maps

    def batch_norms(self) -> list[TorchBatchNorm]:
        """Every batch norm."""
        return [m for m in self.modules() if isinstance(m, TorchBatchNorm)]

    def thresholds(self) -> list[nn.Parameter]:
        """The thresholds that are trained."""
        named = (getattr(p, "threshold", None) for p in self.populations.values())
        return [t for t in named if isinstance(t, nn.Parameter)]

    def _steps(self, x: Tensor, n_steps: int | None) -> tuple[Tensor, int]:
        shape = self.network.input.shape
        given = x.ndim == len(shape) + 2 and x.shape[2:] == shape
        if given:
            steps = as_numbers(x, self.network.coding, integer=self.is_integer)
            n_steps = len(x) if n_steps is None else n_steps
        elif x.shape[1:] == shape:
            n_steps = self.network.n_steps if n_steps is None else n_steps
            steps = encode(x, self.network.coding, n_steps, integer=self.is_integer) if n_steps > 0 else x[None]
        if x.shape[given + 1 :] != shape or n_steps is None or n_steps < 1 or (given and n_steps != len(x)):
            raise TrainingError(
                "GSM-608",
                "samples do not fit the network's input",
                where=self.network.name,
                found=f"{tuple(x.shape)}, n_steps {n_steps}",
                expected=f"(batch, {', '.join(map(str, shape))}), or the same with T >= 1 steps before the batch",
            )
        return steps, n_steps

    def _run(
        self, steps: Tensor, n_steps: int, *, record: bool = False, until: str | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the population `until` (else: the output) is read from, and what is emitted on the way.

        Signals that nobody needs any more are dropped, unless `record`.
        """
        emitted: dict[str, Tensor] = {}
        readout: Tensor | None = None
        waiting = Counter(c.source for c in self.network.connections)
        for name in self.order:
            population = self._population(name)
            if population.like.kind == "input":
                emitted[name] = steps
                continue
            current: Tensor | None = None
            for connection in self.connections:
                if isinstance(connection, TorchConnection) and connection.like.target == name:
                    source = connection.like.source
                    arriving = connection(emitted[source], n_steps, population.like.shape)
                    current = arriving if current is None else _sum(current, arriving, n_steps)
                    waiting[source] -= 1
                    if not waiting[source] and not record:
                        del emitted[source]
            assert current is not None  # noqa: S101 - the IR refuses a population without input
            if name == until:
                return current + population.bias, emitted
            seen = self._emit(population, current, n_steps)
            if population.like.kind != "readout":
                emitted[name] = seen
            if name == self.network.output:
                readout = seen
                if not record and until is None:
                    break
        if readout is None or until is not None:
            raise TrainingError("GSM-608", "no such population", where=self.network.name, found=until)
        return readout, emitted

    def _emit(self, population: TorchPopulation, current: Tensor, n_steps: int) -> Tensor:
        """(T or 1, batch, *shape) spikes or values; for a readout its input, or (1, …) its final membrane."""
        like = population.like
        if like.neuron is None:
            current = current + population.bias
            return current.clamp_min(0) if like.kind == "relu" else current
        row = population.row(detach_reset=self.detach_reset)
        if self.is_integer:
            steps = integer_multi_step(current, n_steps, row, population.bias, fires=like.kind == "spiking")
            return (steps if like.kind == "spiking" else steps[-1:]).double()
        to_membrane = population.bias if like.neuron.bias_target == "membrane" else None
        if to_membrane is None:
            current = current + population.bias
        if like.kind == "readout":
            return step_by_step(current, n_steps, row, self.surrogate, to_membrane)[1][None]
        return multi_step(current, n_steps, row, self.surrogate, to_membrane)

    def _logits(self, seen: Tensor, n_steps: int) -> Tensor:
        output = self.network[self.network.output]
        if output.kind != "readout":
            total = seen.sum(0) if len(seen) == n_steps else seen[0] * n_steps
            return total.flatten(1).float()
        unit = torch.as_tensor(np.array(output.unit), dtype=seen.dtype, device=seen.device)
        if output.neuron is not None and self.is_integer:
            unit = unit / (1 << STATE_SHIFT)
        scaled = seen.mean(0) if len(seen) > 1 else seen[0]
        return (scaled * unit if self.is_integer or (unit != 1).any() else scaled).flatten(1).float()

    def _unchain(
        self, steps: Tensor, batch: int, n_steps: int, record: bool
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def _population(self, name: str) -> TorchPopulation:
        module = self.populations[_key(name)]
        assert isinstance(module, TorchPopulation)  # noqa: S101 - for the type checker
        return module
