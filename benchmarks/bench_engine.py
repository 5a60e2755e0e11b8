"""The engines against dense PyTorch on the same networks, in the same run, results compared first.

    make bench

Compare the medians of a group; machines differ and are shared, so only ratios within one run mean anything.
"""

import numpy as np
import pytest
import torch
from dense_torch import DenseTorch
from workloads import N_STEPS, quantized, w1, w2

from gossamer.simulator import simulate

CASES = [(w1, 0.9), (w1, 0.99), (w2, 0.9), (w2, 0.95), (w2, 0.99)]


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0].__name__}-{c[1]:.0%}")
def workload(request):
    make, sparsity = request.param
    return quantized(make, sparsity), make(sparsity)[1]


@pytest.fixture(params=["bits", "event", "dense float32", "dense int8"])
def runner(request, workload):
    graph, x = workload
    torch.set_num_threads(2)
    if request.param.startswith("dense"):
        rival = DenseTorch(graph, request.param.removeprefix("dense "), "nhwc")
        return lambda: rival(x, N_STEPS)
    return lambda: simulate(graph, x, threads=2, engine=request.param).logits


def test_inference(benchmark, runner, workload):
    graph, x = workload
    counts = benchmark.pedantic(runner, rounds=7, warmup_rounds=1)
    np.testing.assert_array_equal(counts, simulate(graph, x, threads=2).logits)  # integers, whoever adds them
