"""Event-driven engine against dense PyTorch on the same networks, in the same run, results compared first.

    make bench

Compare the medians of a group; machines differ and are shared, so only ratios within one run mean anything.
"""

import numpy as np
import pytest
import torch
from dense_torch import DenseTorch
from workloads import N_STEPS, w1, w2

from gossamer.simulator import simulate

CASES = [(w1, 0.9), (w1, 0.99), (w2, 0.9), (w2, 0.95), (w2, 0.99)]


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0].__name__}-{c[1]:.0%}")
def workload(request):
    make, sparsity = request.param
    return make(sparsity)


@pytest.fixture(params=["gossamer event engine", "dense float32 PyTorch"])
def runner(request, workload):
    graph, x = workload
    torch.set_num_threads(2)
    if request.param.startswith("dense"):
        rival = DenseTorch(graph)
        return lambda: rival(x, N_STEPS)
    return lambda: simulate(graph, x, threads=2).logits


def test_inference(benchmark, runner, workload):
    graph, x = workload
    expected = simulate(graph, x, threads=2).logits
    counts = benchmark.pedantic(runner, rounds=7, warmup_rounds=1)
    assert np.mean(counts.argmax(1) == expected.argmax(1)) > 0.9  # float sums differ in order, rarely in outcome
