"""The W3 network in NEST, in an interpreter of its own: its licence is the GPL.

    .venv-nest/bin/python benchmarks/nest_run.py FILE.npz THREADS

Prints steps and neurons of the first spikes. Then, for each line that it reads, simulates all steps from membranes of
zero on, and prints seconds and spikes. `iaf_psc_delta` adds weights to a membrane in double precision.
"""

import json
import os
import sys
import time
from math import log

import numpy as np

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # NEST greets who imports it
import nest  # noqa: E402

AT_ONCE = 10_000_000  # synapses


def main() -> None:
    """Build the network, run its first steps with a recorder, and all of them when asked."""
    with np.load(sys.argv[1]) as arrays:
        starts, targets, weights, x, leak = (arrays[name] for name in ("starts", "targets", "weights", "x", "leak"))
        checked = int(arrays["checked"])
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution, nest.local_num_threads = 1.0, int(sys.argv[2])
    neurons, inputs = build(starts, targets, weights, x, float(leak))
    recorder = nest.Create("spike_recorder", params={"stop": checked + 1.0})
    nest.Connect(neurons, recorder)
    run(neurons, inputs, checked)
    steps = np.rint(recorder.events["times"]).astype(int) - 2  # a spike in step 0 arrives after 1 ms and fires after 2
    print(json.dumps([steps.tolist(), (recorder.events["senders"] - neurons[0].global_id).tolist()]), file=answers)
    for _ in sys.stdin:
        print(json.dumps(run(neurons, inputs, len(x))), file=answers)


def build(
    starts: np.ndarray, targets: np.ndarray, weights: np.ndarray, x: np.ndarray, leak: float
) -> tuple[nest.NodeCollection, nest.NodeCollection]:
    """Neurons, and what makes each of them fire."""
    n = len(starts) - 1
    membrane = {"E_L": 0.0, "V_m": 0.0, "V_th": 1.0, "V_reset": 0.0, "t_ref": 0.0, "tau_m": -1 / log(leak)}
    neurons = nest.Create("iaf_psc_delta", n, params=membrane)
    times = [{"spike_times": 1.0 + np.flatnonzero(fires)} for fires in x.T]
    inputs = nest.Create("spike_generator", n, params=times)
    nest.Connect(inputs, neurons, "one_to_one", {"weight": 1.0, "delay": 1.0})
    ids = np.arange(n, dtype=np.int64) + neurons[0].global_id
    sources = np.repeat(ids, np.diff(starts))
    for first in range(0, len(targets), AT_ONCE):
        here = slice(first, first + AT_ONCE)
        synapses = {"weight": weights[here].astype(float), "delay": np.ones(len(targets[here]))}
        nest.Connect(sources[here], ids[targets[here]], "one_to_one", synapses)
    return neurons, inputs


def run(neurons: nest.NodeCollection, inputs: nest.NodeCollection, n_steps: int) -> tuple[float, int]:
    """(seconds, spikes) of so many steps from membranes of 0 on."""
    neurons.V_m = 0.0
    inputs.origin = nest.biological_time
    nest.Simulate(1.0)  # until the first input arrives; what was on its way before is older than that
    neurons.V_m = 0.0
    before, started = nest.local_spike_counter, time.perf_counter()
    nest.Simulate(float(n_steps))
    return time.perf_counter() - started, int(nest.local_spike_counter - before)


if __name__ == "__main__":
    main()
