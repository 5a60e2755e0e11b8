"""Run a network population by population, each for all batches, before the next begins."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from .packed_spikes import PackedSpikes
from .torch_network import TorchNetwork
from .torch_parts import Arriving

HELD_BYTES = 1 << 30  # of what arrives at one population, kept rather than computed twice


class FrontToBack:
    """Final. What spiking populations emit for every batch, as bits, until nobody needs it any more.

    Joins, which emit numbers, are computed from their sources wherever they are read.

    Args:
        model: Whose populations may be changed until they fire.
        batches: (batch, *shape) values for the input coding.
        n_steps: T.
        wanted: Populations whose currents are asked for.
    """

    def __init__(self, model: TorchNetwork, batches: Sequence[Tensor], n_steps: int, wanted: set[str]) -> None:
        self.model, self.batches, self.n_steps = model, batches, n_steps
        self.readers: dict[str, set[str]] = {}
        network, needed = model.network, set(wanted)
        for name in reversed(model.order):
            targets = {c.target for c in network.connections if c.source == name}
            direct = {t for t in targets & needed if network[t].kind != "join"}
            self.readers[name] = direct.union(*(self.readers[t] for t in targets if network[t].kind == "join"))
            if self.readers[name]:
                needed.add(name)
        self.order = [name for name in model.order if name in needed and network[name].kind == "spiking"]
        self.emitted: dict[str, list[PackedSpikes]] = {}
        self.kept: dict[int, Arriving] = {}
        self.fired: set[str] = set()

    def currents(self, name: str) -> Iterator[Tensor]:
        """(T or 1, batch, *shape) input currents of the population whose turn it is, bias included, batch by batch."""
        n_bytes = 0
        for j in range(len(self.batches)):
            arriving = self._arriving(name, j)
            n_bytes += arriving.total.numel() * arriving.total.element_size()
            if n_bytes <= HELD_BYTES:
                self.kept[j] = arriving
            yield arriving.current + self.model.population(name).bias

    def fire(self, name: str) -> None:
        """Let the population whose turn it is emit, if anybody needs it, and drop what is needed no more."""
        if self.readers[name]:
            self.emitted[name] = []
            for j in range(len(self.batches)):
                arriving = self.kept.pop(j) if j in self.kept else self._arriving(name, j)
                self.emitted[name].append(PackedSpikes(self.model.emit(name, arriving, self.n_steps)))
        self.kept.clear()
        self.fired.add(name)
        for source in [s for s in self.emitted if self.readers[s] <= self.fired]:
            del self.emitted[source]

    def _arriving(self, name: str, j: int) -> Arriving:
        sources = {c.source for c in self.model.network.incoming(name)}
        return self.model.arriving(name, {s: self._signal(s, j) for s in sources}, self.n_steps)

    def _signal(self, name: str, j: int) -> Tensor:
        kind = self.model.network[name].kind
        if kind == "input":
            return self.model.input_steps(self.batches[j], self.n_steps)[0]
        if kind == "join":
            return self.model.emit(name, self._arriving(name, j), self.n_steps)
        return self.emitted[name][j].unpack()
