"""A connection and a population of the IR as modules. Signals are (T, batch, *shape); (1, …) is the same every step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..compiler import CompileError, Connection, Dense, Map, Population, Shape, Sparse
from .compiled_neurons import can_compile, compiled_neurons
from .errors import TrainingError
from .fused_neurons import can_fuse, fused_neurons
from .integer_neurons import integer_multi_step
from .neurons import Row, multi_step, step_by_step
from .surrogates import SpikeDerivative, Surrogate
from .torch_maps import TorchBatchNorm, TorchMap, TorchScale, TorchWeights, split_by_delay, to_array, to_module

COEFFICIENTS = ("threshold", "leak", "current_decay", "v_init")


@dataclass(frozen=True, eq=False, kw_only=True)
class Arriving:
    """What a population receives but for its bias, (T, batch, *shape); `total` has yet to pass `norm`."""

    total: Tensor
    norm: TorchBatchNorm | None

    @property
    def current(self) -> Tensor:
        """Past the norm."""
        return (
            self.total if self.norm is None else self.norm(self.total.flatten(0, 1)).unflatten(0, self.total.shape[:2])
        )


class TorchConnection(nn.Module):
    """Final. One connection: a chain of maps; with a delay for each synapse, one map for each delay, not trained."""

    def __init__(self, connection: Connection, source: Population, target_shape: Shape) -> None:
        super().__init__()
        self.like = connection
        self.target_shape = target_shape
        first = connection.maps[0] if connection.maps else None
        self.is_delayed_by_synapse = isinstance(first, (Dense, Sparse)) and first.delays is not None
        chains: list[tuple[int, Sequence[Map]]] = [(0, connection.maps)]
        if isinstance(first, (Dense, Sparse)) and self.is_delayed_by_synapse:
            chains = [(delay, (part,)) for delay, part in split_by_delay(first)]
        self.delays = [connection.delay + delay for delay, _ in chains]
        self.chains = nn.ModuleList()
        for _, maps in chains:
            modules, shape = nn.ModuleList(), source.shape
            for m in maps:
                modules.append(to_module(m, shape, from_input=source.kind == "input"))
                shape = m.output_shape(shape)
            self.chains.append(modules)
        if self.is_delayed_by_synapse:
            self.requires_grad_(False)

    def tail(self) -> tuple[TorchBatchNorm | None, TorchScale | None]:
        """The batch norm and the factor with which it ends, in this order, where it does."""
        maps = self.maps() if len(self.delays) == 1 else []
        factor = maps.pop() if maps and isinstance(maps[-1], TorchScale) and maps[-1].shift is None else None
        norm = maps[-1] if maps and isinstance(maps[-1], TorchBatchNorm) else None
        return norm, factor if isinstance(factor, TorchScale) else None

    def forward(self, emitted: Tensor, n_steps: int, *, leave: int = 0) -> Tensor:
        """What the source emitted -> what arrives at the target; without its last maps, so many."""
        total: Tensor | None = None
        for i, delay in enumerate(self.delays):
            x = delayed(emitted, delay, n_steps)
            steps, batch = x.shape[:2]
            x = x.flatten(0, 1)
            for module in self.maps(i)[: -leave or None]:
                x = module(x)
            x = x.reshape(steps, batch, *self.target_shape)
            total = x if total is None else total + x
        return emitted if total is None else total

    def maps(self, chain: int = 0) -> list[TorchMap]:
        """The modules of one chain, in the order in which they act."""
        modules = self.chains[chain]
        return [m for m in modules if isinstance(m, TorchMap)] if isinstance(modules, nn.ModuleList) else []

    def weights(self) -> list[TorchWeights]:
        """Its dense and convolution maps, unless they are not trained."""
        return [] if self.is_delayed_by_synapse else [m for m in self.maps() if isinstance(m, TorchWeights)]

    def to_connection(self) -> Connection:
        """The connection with the values that the parameters have now."""
        if self.is_delayed_by_synapse:
            return self.like
        return replace(self.like, maps=tuple(m.to_map() for m in self.maps()))


class TorchPopulation(nn.Module):
    """Final. One population: its bias and its neuron's coefficients.

    The bias is a parameter unless it is the single number 0; the threshold is one if `train_threshold`.
    """

    def __init__(
        self, population: Population, *, is_integer: bool, train_threshold: bool, is_compiled: bool = False
    ) -> None:
        super().__init__()
        self.like = population
        self.is_integer = is_integer
        self.is_compiled = is_compiled
        number = torch.int64 if is_integer else torch.float32
        self.bias: Tensor
        self._add(
            "bias", torch.tensor(population.bias, dtype=number), population.bias.ndim > 0 or bool(population.bias)
        )
        if population.neuron is not None:
            for name in COEFFICIENTS:
                value = torch.tensor(getattr(population.neuron, name), dtype=number)
                self._add(name, value, name == "threshold" and train_threshold and population.kind == "spiking")

    def _add(self, name: str, value: Tensor, is_trained: bool) -> None:
        if is_trained and not self.is_integer:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def forward(
        self, current: Tensor, n_steps: int, surrogate: SpikeDerivative, detach_reset: bool,
        norm: TorchBatchNorm | None = None,
    ) -> Tensor:  # fmt: skip
        """Input current without bias -> what is emitted; for a readout its input, or the membrane of its neuron.

        norm: What the current has yet to pass.
        """
        like, row = self.like, self._row(detach_reset)
        fires = like.kind == "spiking"
        if (
            fires
            and row is not None
            and isinstance(surrogate, Surrogate)
            and can_fuse(current, row, surrogate, self.bias)
        ):
            return fused_neurons(current, n_steps, row, surrogate, self.bias, None if norm is None else norm.as_norm())
        current = Arriving(total=current, norm=norm).current
        if row is None:
            current = current + self.bias
            return current.clamp_min(0) if like.kind == "relu" else current
        if self.is_integer:
            return integer_multi_step(current, n_steps, row, self.bias, fires=fires).double()
        if row.like.bias_target == "membrane":
            to_membrane = self.bias
        else:
            current, to_membrane = current + self.bias, None
        if fires and self.is_compiled and isinstance(surrogate, Surrogate) and can_compile(current, row):
            return compiled_neurons(current, n_steps, row, surrogate)
        if fires:
            return multi_step(current, n_steps, row, surrogate, to_membrane)
        return step_by_step(current, n_steps, row, surrogate, to_membrane)[1]

    def _row(self, detach_reset: bool) -> Row | None:
        if self.like.neuron is None:
            return None
        coefficients = {name: getattr(self, name) for name in COEFFICIENTS}
        return Row(**coefficients, like=self.like.neuron, detach_reset=detach_reset, population=self.like.name)

    def to_population(self) -> Population:
        """The population with the values that the parameters have now.

        Raises: TrainingError: GSM-607 if a trained threshold is no longer positive.
        """
        population = self.like
        if isinstance(self.bias, nn.Parameter):
            population = replace(population, bias=to_array(self.bias))
        threshold = getattr(self, "threshold", None)
        if population.neuron is not None and isinstance(threshold, nn.Parameter):
            try:
                population = replace(population, neuron=replace(population.neuron, threshold=to_array(threshold)))
            except CompileError as error:
                raise TrainingError(
                    "GSM-607", "training made a threshold unusable", where=f"population {population.name!r}",
                    found=error.found or error.what, expected=error.expected, remedy="lower the learning rate",
                ) from None  # fmt: skip
        return population


def delayed(emitted: Tensor, delay: int, n_steps: int) -> Tensor:
    """The signal `delay` steps later, zeros before it begins."""
    if delay == 0:
        return emitted
    emitted = every_step(emitted, n_steps)
    before = emitted.new_zeros((min(delay, n_steps), *emitted.shape[1:]))
    return torch.cat([before, emitted[: max(n_steps - delay, 0)]])


def every_step(emitted: Tensor, n_steps: int) -> Tensor:
    """(T, batch, *shape), spelled out."""
    return emitted.expand(n_steps, *emitted.shape[1:])
