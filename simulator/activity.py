"""What a run leaves: exact counts per layer and step, logits, and spikes where they were recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import Array, CompileError, read_container, write_container
from ..hwmodels import EVENT_NAMES, EventCounts, LayerActivity, LayerMemory
from .errors import SimulationError

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


LAYER_FIELDS: dict[str, type] = {f.name: str if f.name in ("name", "kind") else int for f in fields(Layer)}
HEADER_FIELDS: dict[str, type] = {
    "graph": str,
    "graph_sha256": str,
    "arithmetic": str,
    "n_samples": int,
    "n_steps": int,
    "seconds": float,
    "threads": int,
    "engine": str,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Activity:
    """The record of a run.

    counts: (n_layers, n_steps, len(EVENT_NAMES)) int64, summed over samples; one row per population, in
        topological order.
    logits: (n_samples, n_outputs) float32. labels: (n_samples,) int64 or None.
    seconds: the simulation alone, without loading and compiling. engine: "event", "bits", or "bits and event" of joined
        runs.
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
    engine: str = "event"
    spikes: dict[str, Array] = field(default_factory=dict)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """(n_samples,) the output with the largest logit; the first of equals."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions, or None without labels."""
        return None if self.labels is None else float((self.predictions == self.labels).mean())

    def layer_counts(self, name: str) -> EventCounts:
        """Counts of one population, summed over steps and samples."""
        return _event_counts(self.counts[self._row(name)].sum(axis=0))

    @property
    def total(self) -> EventCounts:
        """Counts of the whole run."""
        return _event_counts(self.counts.sum(axis=(0, 1)))

    def spike_rate(self, name: str) -> float:
        """Events per neuron and step."""
        layer = self.layers[self._row(name)]
        return self.layer_counts(name).spikes / (layer.n_neurons * self.n_steps * self.n_samples)

    def _row(self, name: str) -> int:
        names = [layer.name for layer in self.layers]
        if name not in names:
            raise SimulationError("GSM-404", "no such population", found=name, expected=", ".join(names))
        return names.index(name)

    def layer_activities(self) -> list[LayerActivity]:
        """What `gossamer.hwmodels.price` takes."""
        return [
            LayerActivity(
                name=layer.name,
                n_neurons=layer.n_neurons,
                n_synapses=layer.n_synapses,
                counts=self.layer_counts(layer.name),
                memory=LayerMemory(
                    weight_bytes=layer.weight_bytes, index_bytes=layer.index_bytes, state_bytes=layer.state_bytes
                ),
            )
            for layer in self.layers
        ]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `gossamer simulate --json`, without energies."""
        return {
            "n_samples": self.n_samples,
            "n_steps": self.n_steps,
            "accuracy": self.accuracy,
            "seconds": self.seconds,
            "threads": self.threads,
            "engine": self.engine,
            "counts": self.total.to_dict(),
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "neurons": layer.n_neurons,
                    "synapses": layer.n_synapses,
                    "weights": layer.n_weights,
                    "spike_rate": self.spike_rate(layer.name),
                    "memory_bytes": {
                        "stored": layer.weight_bytes + layer.index_bytes,
                        "unrolled": layer.unrolled_bytes,
                        "state": layer.state_bytes,
                    },
                    "counts": self.layer_counts(layer.name).to_dict(),
                }
                for layer in self.layers
            ],
        }

    def save(self, path: str | Path) -> str:
        """Write the record atomically; return its digest. Format: docs/reference/formats.md."""
        arrays: dict[str, Array] = {"counts": self.counts, "logits": self.logits}
        if self.labels is not None:
            arrays["labels"] = self.labels
        arrays |= {f"spikes.{name}": spikes for name, spikes in self.spikes.items()}
        header = {name: getattr(self, name) for name in HEADER_FIELDS}
        header |= {"events": list(EVENT_NAMES), "layers": [vars(layer) for layer in self.layers]}
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


def join_activities(parts: Sequence[Activity], *, seconds: float) -> Activity:
    """One record of runs of the same graph on parts of a data set, in the order of its samples.

    Args:
        seconds: That all of them took together, as somebody waited for it.
    """
    first = parts[0]
    return replace(
        first,
        n_samples=sum(part.n_samples for part in parts),
        counts=np.sum([part.counts for part in parts], axis=0),
        logits=np.concatenate([part.logits for part in parts]),
        labels=None if first.labels is None else np.concatenate([p.labels for p in parts if p.labels is not None]),
        seconds=seconds,
        threads=max(part.threads for part in parts),
        engine=" and ".join(sorted({part.engine for part in parts})),
        spikes={name: np.concatenate([part.spikes[name] for part in parts]) for name in first.spikes},
    )


def load_activity(path: str | Path) -> Activity:
    """Read and verify a record.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer, damaged or inconsistent.
    """
    header, arrays, _ = read_container(path, "activity", ACTIVITY_VERSION)
    try:
        return _decode(header, arrays)
    except (TypeError, ValueError, KeyError) as error:
        raise CompileError("GSM-105", "not the record of a run", where=str(path), found=error) from None


def _decode(header: dict[str, Any], arrays: dict[str, Array]) -> Activity:
    """The activity in a file. Raises: TypeError, ValueError, KeyError where something is not as it must be."""
    layers = tuple(Layer(**_typed(layer, LAYER_FIELDS)) for layer in header.pop("layers"))
    if header.pop("events") != list(EVENT_NAMES):
        raise ValueError(f"events are not {', '.join(EVENT_NAMES)}")
    known = _typed(header, HEADER_FIELDS)
    run = (known["n_samples"], known["n_steps"])
    counts, logits, labels = arrays.pop("counts"), arrays.pop("logits"), arrays.pop("labels", None)
    _check("counts", counts, (len(layers), run[1], len(EVENT_NAMES)), "int64")
    _check("logits", logits, (run[0], *logits.shape[1:2]), "float32")
    if (counts < 0).any() or logits.ndim != 2 or min(run) < 1 or min(logits.shape) < 1:
        raise ValueError("counts are negative, or there are no samples, steps or outputs")
    if labels is not None:
        _check("labels", labels, run[:1], "int64")
    n_neurons = {layer.name: layer.n_neurons for layer in layers}
    spikes = {key.removeprefix("spikes."): array for key, array in arrays.items()}
    for key, (name, array) in zip(arrays, spikes.items(), strict=True):
        if key == name or array.ndim < 3 or prod(array.shape[2:]) != n_neurons[name]:
            raise ValueError(f"array {key!r} holds spikes of no population")
        _check(key, array, (*run, *array.shape[2:]), "uint8", "int32", "int64", "float32")
    return Activity(layers=layers, counts=counts, logits=logits, labels=labels, spikes=spikes, **known)


def _typed(record: dict[str, Any], types: dict[str, type]) -> dict[str, Any]:
    """The record, if it has these fields and they are text, whole numbers >= 0, or real numbers >= 0."""
    if set(record) != set(types):
        raise ValueError(f"fields {sorted(set(record) ^ set(types))} are missing or surplus")
    for name, kind in types.items():
        value = record[name]
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise TypeError(f"{name} is not {kind.__name__}: {value!r}")
        if kind is not str and not 0 <= record[name] < inf:
            raise ValueError(f"{name} is out of range: {value}")
    return record


def _check(name: str, array: Array, shape: tuple[int, ...], *dtypes: str) -> None:
    if array.shape != shape or array.dtype not in dtypes:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {' or '.join(dtypes)} {shape}")


def _event_counts(row: NDArray[np.int64]) -> EventCounts:
    return EventCounts(**dict(zip(EVENT_NAMES, row.tolist(), strict=True)))
