"""Many machines: a real scheduler and workers as processes of their own, one of which is killed in the middle."""

import subprocess
import sys
from dataclasses import replace

import distributed
import numpy as np
import pytest
from networks import refusal, small_convolutional

from gossamer import GossamerError, compile, simulate, simulate_on_cluster, sweep
from gossamer.cluster import connected
from gossamer.compiler import InputCoding

RNG = np.random.default_rng(0)


@pytest.fixture
def cluster(tmp_path):
    """(address, workers): a scheduler and two workers that nobody starts again."""
    told = tmp_path / "scheduler.json"
    options = ["--scheduler-file", told, "--host", "127.0.0.1"]
    processes = [start("dask_scheduler", *options, "--port", 0, "--no-dashboard")]
    try:
        for _ in range(2):
            processes.append(
                start("dask_worker", *options, "--nthreads", 1, "--no-nanny", "--no-dashboard", cwd=tmp_path)
            )
        with distributed.Client(scheduler_file=str(told), timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start(module, *arguments, cwd=None):
    command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.filterwarnings("default")  # dask's own
def test_a_worker_that_is_killed_in_the_middle_costs_no_result(cluster):
    address, workers = cluster
    network = replace(small_convolutional(), coding=InputCoding(kind="rate", seed=3))
    graph = compile(network)
    x, y = RNG.random((60, 3, 8, 8), np.float32), RNG.integers(0, 10, 60)
    here = simulate(graph, x, y, record="*")
    told = []

    def kill(done, total):
        told.append((done, total))
        if len(told) == 3:
            workers[0].kill()
            workers[0].wait()

    there = simulate_on_cluster(graph, x, y, address=address, shard=2, record="*", progress=kill)
    assert told[-1] == (60, 60)
    assert workers[0].poll() is not None
    assert workers[1].poll() is None
    np.testing.assert_array_equal(there.counts, here.counts)
    np.testing.assert_array_equal(there.logits, here.logits)
    np.testing.assert_array_equal(there.labels, here.labels)
    assert there.accuracy == here.accuracy
    for name, spikes in here.spikes.items():
        np.testing.assert_array_equal(there.spikes[name], spikes)


@pytest.mark.filterwarnings("default")
def test_the_command_line_and_sweeps_say_the_same_from_a_cluster(cluster, gossamer, files):
    address, _ = cluster
    call = ["simulate", files / "net.graph", "--data", files / "x.npz", "--json"]
    here, there = gossamer(*call).json, gossamer(*call, "--cluster", address).json
    assert {k: v for k, v in there.items() if k not in ("seconds", "threads")} == {
        k: v for k, v in here.items() if k not in ("seconds", "threads")
    }
    call = ["sweep", files / "net.safetensors", "--data", files / "x.npz", "--bits", "float,8", "--steps", "2,4"]
    call += ["--chip", "loihi", "--json"]
    assert gossamer(*call, "--cluster", address).json == gossamer(*call).json


def test_no_scheduler_and_no_workers_are_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr("gossamer.cluster.PATIENCE", "1s")
    for address in ("tcp://127.0.0.1:1", "nonsense:"):
        error = refusal(lambda a=address: connected(a).__enter__(), "GSM-406", error=GossamerError)
        assert address in str(error.found)


def test_a_stream_is_not_divided():
    graph = compile(replace(small_convolutional(), reset_between_samples=False))
    x = RNG.random((4, 3, 8, 8), np.float32)
    refusal(lambda: simulate_on_cluster(graph, x, address="tcp://127.0.0.1:1"), "GSM-404", error=GossamerError)


def test_a_sweep_is_what_single_runs_say(gossamer, files):
    x = RNG.random((5, 3, 8, 8), np.float32)
    network = small_convolutional()
    points = sweep({"a": network}, x, weight_bits=[None, 6], n_steps=[2, None], chips=["cmos-45nm"])
    assert [(p.network, p.weight_bits, p.n_steps) for p in points] == [
        ("a", None, 2),
        ("a", None, network.n_steps),
        ("a", 6, 2),
        ("a", 6, network.n_steps),
    ]
    for p in points:
        run = simulate(compile(network, weight_bits=p.weight_bits), x, n_steps=p.n_steps)
        assert (p.spikes, p.synaptic_ops) == (run.total.spikes / 5, run.total.synaptic_ops / 5)
        assert p.accuracy is None
        assert p.energy_pj["cmos-45nm"] > 0
    answer = gossamer("sweep", files / "net.safetensors", "--data", files / "x.npz", "--bits", "8", "--chip", "loihi")
    assert answer.status == 0
    assert "(partial)" in answer.out
    assert gossamer("sweep", files / "net.safetensors", "--data", files / "x.npz", "--bits", "x").status == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_a_sweep_takes_one_thread_at_least(threads):
    x = np.zeros((2, 3, 8, 8), np.float32)
    refused = refusal(lambda: sweep({"a": small_convolutional()}, x, threads=threads), "GSM-404", error=GossamerError)
    assert refused.where == "threads"
