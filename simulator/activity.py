"""What a run leaves: exact counts per layer and step, logits, and spikes where they were recorded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import Array, CompileError, read_container, write_container
from ..hwmodels import EVENT_NAMES, EventCounts, LayerActivity, LayerMemory

ACTIVITY_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a report needs to know of a population.

    n_synapses counts a shared tap once per pixel; n_weights counts it once. Bytes: the synapses as stored
    (weights, addresses), unrolled, and the state.
    """

    name: str
    kind: str
    n_neurons: int
    n_synapses: int
    n_weights: int
    weight_bytes: int
    index_bytes: int
    unrolled_bytes: int
    state_bytes: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Activity:
    """The record of a run.

    counts: (n_layers, n_steps, len(EVENT_NAMES)) int64, summed over samples; one row per population, in
        topological order.
    logits: (n_samples, n_outputs) float32. labels: (n_samples,) int64 or None.
    seconds: the simulation alone, without loading and compiling.
    spikes: per recorded population (n_samples, n_steps, *shape).
    """

    graph: str
    graph_sha256: str
    arithmetic: str
    n_samples: int
    n_steps: int
    layers: tuple[Layer, ...]
    counts: NDArray[np.int64]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    seconds: float = 0.0
    threads: int = 1
    spikes: dict[str, Array] = field(default_factory=dict)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """(n_samples,) the output with the largest logit; the first of equals."""
        return self.logits.argmax(axis=1)

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions, or None without labels."""
        return None if self.labels is None else float((self.predictions == self.labels).mean())

    def layer_counts(self, name: str) -> EventCounts:
        """Counts of one population, summed over steps and samples."""
        row = [layer.name for layer in self.layers].index(name)
        return _event_counts(self.counts[row].sum(axis=0))

    @property
    def total(self) -> EventCounts:
        """Counts of the whole run."""
        return _event_counts(self.counts.sum(axis=(0, 1)))

    def spike_rate(self, name: str) -> float:
        """Events per neuron and step."""
        layer = next(layer for layer in self.layers if layer.name == name)
        return self.layer_counts(name).spikes / (layer.n_neurons * self.n_steps * self.n_samples)

    def layer_activities(self) -> list[LayerActivity]:
        """What `gossamer.hwmodels.price` takes."""
        return [
            LayerActivity(
                name=layer.name, n_neurons=layer.n_neurons, n_synapses=layer.n_synapses,
                counts=self.layer_counts(layer.name),
                memory=LayerMemory(
                    weight_bytes=layer.weight_bytes, index_bytes=layer.index_bytes, state_bytes=layer.state_bytes
                ),
            )
            for layer in self.layers
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `gossamer simulate --json`, without energies."""
        return {
            "n_samples": self.n_samples,
            "n_steps": self.n_steps,
            "accuracy": self.accuracy,
            "seconds": self.seconds,
            "threads": self.threads,
            "counts": self.total.to_dict(),
            "layers": [
                {
                    "name": layer.name, "kind": layer.kind, "neurons": layer.n_neurons, "synapses": layer.n_synapses,
                    "weights": layer.n_weights, "spike_rate": self.spike_rate(layer.name),
                    "memory_bytes": {
                        "stored": layer.weight_bytes + layer.index_bytes, "unrolled": layer.unrolled_bytes,
                        "state": layer.state_bytes,
                    },
                    "counts": self.layer_counts(layer.name).to_dict(),
                }
                for layer in self.layers
            ],
        }  # fmt: skip

    def save(self, path: str | Path) -> str:
        """Write the record atomically; return its digest. Format: docs/reference/formats.md."""
        arrays: dict[str, Array] = {"counts": self.counts, "logits": self.logits}
        if self.labels is not None:
            arrays["labels"] = self.labels
        arrays |= {f"spikes.{name}": spikes for name, spikes in self.spikes.items()}
        header = {
            "graph": self.graph, "graph_sha256": self.graph_sha256, "arithmetic": self.arithmetic,
            "n_samples": self.n_samples, "n_steps": self.n_steps, "seconds": self.seconds, "threads": self.threads,
            "events": list(EVENT_NAMES), "layers": [vars(layer) for layer in self.layers],
        }  # fmt: skip
        return write_container(path, "activity", ACTIVITY_VERSION, header, arrays)

    def summary(self) -> str:
        """One line per population."""
        lines = [f"{'population':<16}{'rate':>9}{'spikes':>14}{'synaptic ops':>16}{'MACs':>14}"]
        for layer in self.layers:
            c = self.layer_counts(layer.name)
            lines.append(
                f"{layer.name:<16}{self.spike_rate(layer.name):>9.4f}{c.spikes:>14,}{c.synaptic_ops:>16,}{c.macs:>14,}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.4f}"
        return f"<Activity of {self.graph!r}: {self.n_samples} samples x {self.n_steps} steps{accuracy}>"


def load_activity(path: str | Path) -> Activity:
    """Read and verify a record.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer, damaged or inconsistent.
    """
    header, arrays, _ = read_container(path, "activity", ACTIVITY_VERSION)
    try:
        layers = tuple(Layer(**layer) for layer in header["layers"])
        counts = arrays["counts"]
        if header["events"] != list(EVENT_NAMES) or counts.shape != (len(layers), header["n_steps"], len(EVENT_NAMES)):
            raise CompileError(
                "GSM-105", "counts do not match the header", where=str(path), found=counts.shape,
                expected=f"{(len(layers), header['n_steps'], len(EVENT_NAMES))}",
            )  # fmt: skip
        keys = ("graph", "graph_sha256", "arithmetic", "n_samples", "n_steps", "seconds", "threads")
        return Activity(
            layers=layers, counts=counts, logits=arrays["logits"], labels=arrays.get("labels"),
            spikes={k.removeprefix("spikes."): a for k, a in arrays.items() if k.startswith("spikes.")},
            **{key: header[key] for key in keys},
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise CompileError("GSM-105", "a header field is missing or wrong", where=str(path), found=error) from None


def _event_counts(row: NDArray[np.int64]) -> EventCounts:
    return EventCounts(**dict(zip(EVENT_NAMES, row.tolist(), strict=True)))
