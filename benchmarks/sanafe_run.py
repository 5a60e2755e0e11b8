"""A chain of layers in SANA-FE, in an environment of its own: SANA-FE is under the GPL, so Gossamer never imports it.

.venv-sanafe/bin/python benchmarks/sanafe_run.py FOLDER      with the files that sanafe_files.py writes

Prints one line of JSON when the network is built, and one for each line of JSON on its standard input:
{"samples": [first, end], "threads": n, "trace": true or false}.
"""

import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import sanafe

HALF = 0.5  # SANA-FE fires above the threshold. With integers, half more at the start makes that at the threshold.
COUNTS = {"events": "spikes", "updates": "neurons_updated", "fired": "neurons_fired", "packets": "packets_sent"}


class Chain:
    """The network on its chip."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "network.npz") as arrays:
            self.arrays = dict(arrays)
        self.x, self.names = self.arrays["x"], self.arrays["names"].tolist()
        started = time.perf_counter()
        architecture = sanafe.load_arch(folder / "architecture.yaml")
        network = self._network()
        _place([network[name] for name in self.names], architecture.cores(), _neurons_per_core(folder))
        self.chip = sanafe.SpikingChip(architecture)
        self.chip.load(network)
        self.seconds = time.perf_counter() - started
        self.neurons = {name: list(neurons) for name, neurons in self.chip.mapped_neuron_groups.items()}

    def _network(self) -> "sanafe.Network":
        network, a = sanafe.Network(), self.arrays
        units = {"default_synapse_hw_name": "synapses", "default_dendrite_hw_name": "sums", "log_spikes": True}
        first, *layers = zip(self.names, a["sizes"].tolist(), strict=True)
        before = network.create_neuron_group(*first, **units)
        for i, neuron in enumerate(before.neurons):
            neuron.set_attributes(soma_hw_name=f"input[{i}]", model_attributes={"spikes": [0]})
        for name, n in layers:
            model = {"threshold": int(a[f"threshold.{name}"]), "reset_mode": "soft", "leak_decay": 1.0}
            layer = network.create_neuron_group(name, n, model_attributes=model, soma_hw_name="neurons", **units)
            starts = a[f"starts.{name}"]
            sources = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            pairs = list(zip(sources.tolist(), a[f"targets.{name}"].tolist(), strict=True))
            before.connect_neurons_sparse(layer, {"weight": a[f"weights.{name}"].tolist()}, pairs)
            before = layer
        return network

    def run(self, samples: list[int], threads: int, trace: bool) -> dict[str, Any]:
        """Run samples one after another, each from rest; seconds are those of the simulation alone.

        Of the models of time the one that costs least: Gossamer has none.
        """
        steps = self.x.shape[1] + len(self.names) - 1  # a layer hears of a spike a step later
        said: dict[str, Any] = {"seconds": 0.0, "energy": {}, "spikes": [], **dict.fromkeys(COUNTS, 0)}
        for sample in range(*samples):
            self._rest(sample)
            options = {"timing_model": "simple", "processing_threads": threads, "spike_trace": True if trace else None}
            started = time.perf_counter()
            result = self.chip.sim(steps, **options)
            said["seconds"] += time.perf_counter() - started
            for ours, theirs in COUNTS.items():
                said[ours] += result[theirs]
            for part, joules in result["energy"].items():
                said["energy"][part] = said["energy"].get(part, 0.0) + joules
            if trace:
                fired = [[(n.group_name, n.neuron_offset) for n in step] for step in result["spike_trace"]]
                said["spikes"].append(fired)
        return said

    def _rest(self, sample: int) -> None:
        """`reset` clears potentials and what is on its way; input units go on where they were, so they are set too."""
        self.chip.reset()
        for name in self.names[1:]:
            for neuron in self.neurons[name]:
                neuron.set_attributes(model_attributes={"potential": HALF})
        for neuron, spikes in zip(self.neurons[self.names[0]], self.x[sample].T.tolist(), strict=True):
            neuron.set_attributes(model_attributes={"spikes": spikes})


def _neurons_per_core(folder: Path) -> int:
    tiles = json.loads((folder / "architecture.yaml").read_text(encoding="utf-8"))["architecture"]["tile"]
    return int(tiles[0]["core"][0]["attributes"]["max_neurons_supported"])


def _place(layers: list["sanafe.NeuronGroup"], cores: list["sanafe.Core"], per_core: int) -> None:
    """Fill core after core; a layer begins with a new one. Fewest messages, and the fastest of what was tried."""
    free = iter(cores)
    for layer in layers:
        for i, neuron in enumerate(layer.neurons):
            if i % per_core == 0:
                core = next(free)
            neuron.map_to_core(core)


def main() -> None:
    """Build, then answer until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # SANA-FE prints to the standard output
    chain = Chain(Path(sys.argv[1]))
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    built = {"version": version("sanafe"), "seconds": chain.seconds, "gigabytes": gigabytes}
    print(json.dumps(built), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(chain.run(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
