"""The W3 network in brian2, in an interpreter of its own: it needs a later Python than Gossamer supports.

.venv-brian2/bin/python benchmarks/brian2_run.py FILE.npz THREADS       prints seconds, spikes
"""

import sys
import tempfile

import brian2 as b
import numpy as np


def main() -> None:
    """Build a C++ program, run it, and read its own clock."""
    with np.load(sys.argv[1]) as arrays:
        starts, targets, weights, x, leak = (arrays[name] for name in ("starts", "targets", "weights", "x", "leak"))
    n = len(starts) - 1
    with tempfile.TemporaryDirectory() as folder:
        b.set_device("cpp_standalone", directory=folder, build_on_run=False)
        b.prefs.devices.cpp_standalone.openmp_threads = int(sys.argv[2])
        b.prefs.codegen.cpp.extra_compile_args = ["-O3", "-ffast-math", "-march=native"]
        b.prefs.core.default_float_dtype = np.float32
        b.defaultclock.dt = 1 * b.ms
        group = b.NeuronGroup(n, "v : 1", threshold="v >= 1", reset="v -= 1")
        group.run_regularly(f"v *= {float(leak)}", when="start")
        steps, neurons = np.nonzero(x)
        source = b.SpikeGeneratorGroup(n, neurons, steps * b.ms, when="before_start")
        given = b.Synapses(source, group, on_pre="v_post += 1")
        given.connect(j="i")
        given.pre.when = "after_start"  # before the threshold of the same step, and after the leak
        loop = b.Synapses(group, group, "w : 1", on_pre="v_post += w")
        loop.connect(i=np.repeat(np.arange(n), np.diff(starts)), j=targets.astype(np.int64))
        loop.w = weights
        loop.pre.delay = 1 * b.ms  # arrives in the next step,
        loop.pre.when = "after_start"  # after its leak
        counter = b.SpikeMonitor(group, record=False)
        b.Network(group, source, given, loop, counter).run(len(x) * b.ms)
        b.device.build(directory=folder, compile=True, run=True, debug=False)
        print(b.device._last_run_time, int(counter.num_spikes))


if __name__ == "__main__":
    main()
