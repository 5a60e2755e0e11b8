"""The W3 network in brian2, in an interpreter of its own: it needs a later Python than Gossamer supports.

    .venv-brian2/bin/python benchmarks/brian2_run.py FILE.npz THREADS

Prints steps and neurons of the first spikes, from a program that records them. Then, for each line that it reads, runs
the program of all steps, which only counts, and prints seconds, by that program's own clock, and spikes.
"""

import json
import sys
import tempfile

import brian2 as b
import numpy as np


def main() -> None:
    """Build the two programs, run one once and the other when asked."""
    with np.load(sys.argv[1]) as arrays:
        starts, targets, weights, x, leak = (arrays[name] for name in ("starts", "targets", "weights", "x", "leak"))
        checked = int(arrays["checked"])
    b.prefs.devices.cpp_standalone.openmp_threads = int(sys.argv[2])
    b.prefs.codegen.cpp.extra_compile_args = ["-O3", "-ffast-math", "-march=native"]
    b.prefs.core.default_float_dtype = np.float32
    b.set_device("cpp_standalone", build_on_run=False)
    with tempfile.TemporaryDirectory() as folder:
        spikes = build(folder, starts, targets, weights, x[:checked], float(leak), record=True)
        b.device.run(with_output=False)
        print(json.dumps([np.rint(spikes.t / b.ms).astype(int).tolist(), spikes.i[:].tolist()]), flush=True)
    b.device.reinit()
    b.device.activate(build_on_run=False)
    with tempfile.TemporaryDirectory() as folder:
        spikes = build(folder, starts, targets, weights, x, float(leak), record=False)
        for _ in sys.stdin:
            b.device.run(with_output=False)
            print(json.dumps([b.device._last_run_time, int(spikes.num_spikes)]), flush=True)


def build(
    folder: str,
    starts: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    x: np.ndarray,
    leak: float,
    *,
    record: bool,
) -> b.SpikeMonitor:
    """A C++ program in a folder; where its spikes can be seen after a run."""
    n = len(starts) - 1
    b.defaultclock.dt = 1 * b.ms
    group = b.NeuronGroup(n, "v : 1", threshold="v >= 1", reset="v = 0")
    group.run_regularly(f"v *= {leak}", when="start")
    steps, neurons = np.nonzero(x)
    source = b.SpikeGeneratorGroup(n, neurons, steps * b.ms, when="before_start")
    given = b.Synapses(source, group, on_pre="v_post += 1")
    given.connect(j="i")
    given.pre.when = "after_start"  # before the threshold of the same step, and after the leak
    loop = b.Synapses(group, group, "w : 1", on_pre="v_post += w")
    loop.connect(i=np.repeat(np.arange(n), np.diff(starts)), j=targets.astype(np.int64))
    loop.w = weights
    loop.pre.when = "after_start"  # these spikes are of the step before: a delay would be one step more
    spikes = b.SpikeMonitor(group, record=record)
    b.Network(group, source, given, loop, spikes).run(len(x) * b.ms)
    b.device.build(directory=folder, compile=True, run=False, debug=False)
    return spikes


if __name__ == "__main__":
    main()
