"""On a CPU without wide vectors everything gives the same results: kernels compiled anew for the plainest one."""

import os
import subprocess
import sys

import numpy as np
import pytest
from networks import small_convolutional

from gossamer import compile, simulate

SCRIPT = """
import sys, numpy as np, gossamer
graph = gossamer.load_graph(sys.argv[1])
run = gossamer.simulate(graph, np.load(sys.argv[2]), threads=2, engine=sys.argv[3])
np.savez(sys.argv[4], counts=run.counts, logits=run.logits)
"""


@pytest.mark.parametrize("weight_bits", [None, 8])
def test_a_plain_cpu_gives_the_same_results(weight_bits, tmp_path):
    graph = compile(small_convolutional(), weight_bits=weight_bits)
    graph.save(tmp_path / "graph")
    x = np.random.default_rng(0).random((5, 3, 8, 8), np.float32)
    np.save(tmp_path / "x.npy", x)
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for engine in ("bits", "event"):
        command = [sys.executable, "-c", SCRIPT, tmp_path / "graph", tmp_path / "x.npy", engine, tmp_path / "found.npz"]
        subprocess.run([str(word) for word in command], check=True, env={**os.environ, **plain})
        here = simulate(graph, x, engine=engine)
        with np.load(tmp_path / "found.npz") as found:
            np.testing.assert_array_equal(found["counts"], here.counts)
            np.testing.assert_array_equal(found["logits"], here.logits)
