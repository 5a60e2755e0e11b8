"""Many machines: a real scheduler and workers as processes of their own, which are killed in the middle."""

import os
import pickle
import socket
import subprocess
import sys
import time
from dataclasses import replace

import distributed
import numpy as np
import pytest
from networks import refusal, small_convolutional

from gossamer import GossamerError, compile, simulate, simulate_on_cluster, sweep
from gossamer.cluster import AHEAD, PATIENCE, connected, find_scheduler
from gossamer.compiler import CompileError, InputCoding

RNG = np.random.default_rng(0)


@pytest.fixture
def cluster(tmp_path):
    """(address, processes): a scheduler and two workers that nobody starts again."""
    told = tmp_path / "scheduler.json"
    options = ["--scheduler-file", told, "--host", "127.0.0.1"]
    processes = [start("dask_scheduler", *options, "--port", 0, "--no-dashboard")]
    try:
        processes += [start_worker(*options, cwd=tmp_path) for _ in range(2)]
        with distributed.Client(scheduler_file=str(told), timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start_worker(*options, **more):
    return start("dask_worker", *options, "--nthreads", 1, "--no-nanny", "--no-dashboard", **more)


def start(module, *arguments, **options):
    command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)


@pytest.mark.filterwarnings("default")  # dask's own
def test_a_worker_that_is_killed_in_the_middle_costs_no_result(cluster):
    address, (_, *workers) = cluster
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
    assert gossamer(*call, "--cluster", address, "--threads", "2").json == gossamer(*call).json
    check_failing_point_is_named(address=address)


def check_failing_point_is_named(**where):
    network, x = small_convolutional(), RNG.random((2, 3, 8, 8), np.float32)
    error = refusal(
        lambda: sweep({"a": network}, x, n_steps=[2, 0], weight_bits=[8], **where), "GSM-404", error=GossamerError
    )
    assert error.where.startswith("a, int8, T = 0, ")


def test_a_sweep_names_the_point_that_fails():
    check_failing_point_is_named()


def test_an_error_is_the_same_in_another_process():
    error = pickle.loads(pickle.dumps(CompileError("GSM-201", "what", where="here", found=3, remedy="none")))
    assert type(error) is CompileError
    assert error.to_dict() == CompileError("GSM-201", "what", where="here", found=3, remedy="none").to_dict()
    assert str(error.within("there")) == "GSM-201: there, here: what; found: 3; remedy: none"


class Sliced:
    """Samples that remember how many of them have been read."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.n_read = x, x.shape, x.dtype, 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, part):
        self.n_read = part.stop
        return self.x[part]


@pytest.mark.filterwarnings("default")
def test_samples_are_read_and_sent_a_few_shards_ahead_and_bad_ones_are_told(cluster):
    address, _ = cluster
    graph, x, ahead, tasks = compile(small_convolutional()), RNG.random((120, 3, 8, 8), np.float32), [], []
    given = Sliced(x)
    with distributed.Client(address, set_as_default=False) as client:

        def look(done, total):
            ahead.append(given.n_read - done)
            tasks.append(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        there = simulate_on_cluster(graph, given, address=address, shard=2, progress=look)
    most = AHEAD * 2  # threads
    assert len(ahead) == 60
    assert 0 < max(ahead) <= most * 2
    assert max(tasks) <= most + 2, "the graph, and one that is done"
    here = simulate(graph, x)
    np.testing.assert_array_equal(there.counts, here.counts)
    np.testing.assert_array_equal(there.logits, here.logits)
    assert there.layers == here.layers
    x[-1, 0, 0, 0] = np.inf
    refusal(lambda: simulate_on_cluster(graph, x, address=address, shard=30), "GSM-402", error=GossamerError)


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_goes_away_is_told(cluster, capfd):
    address, (scheduler, *_) = cluster

    def kill(done, total):
        scheduler.kill()
        scheduler.wait()

    graph, x = compile(small_convolutional()), RNG.random((60, 3, 8, 8), np.float32)
    error = refusal(
        lambda: simulate_on_cluster(graph, x, address=address, shard=2, progress=kill), "GSM-406", error=GossamerError
    )
    assert "gone away" in error.what
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.filterwarnings("default")
def test_who_is_no_scheduler_or_has_another_gossamer_is_named(cluster, tmp_path):
    address, processes = cluster
    with distributed.Client(address, set_as_default=False) as client:
        a_worker = next(iter(client.nthreads()))
        refused = refusal(lambda: find_scheduler(a_worker), "GSM-406", error=GossamerError)
        assert refused.found == f"{a_worker} is a worker"
        told = tmp_path / "other" / "gossamer-9.9.dist-info" / "METADATA"
        told.parent.mkdir(parents=True)
        told.write_text("Name: gossamer\nVersion: 9.9\n")
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "other")}
        processes.append(start_worker(address, "--host", "127.0.0.1", cwd=tmp_path, env=environment))
        client.wait_for_workers(3, timeout=60)
        other = next(w for w in client.nthreads() if client.run(os.getpid, workers=[w])[w] == processes[-1].pid)
    refused = refusal(lambda: connected(address).__enter__(), "GSM-406", error=GossamerError)
    assert (refused.where, refused.found) == (other, "9.9")


def test_whoever_does_not_answer_as_a_scheduler_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("gossamer.cluster.PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address in ("tcp://127.0.0.1:1", f"tcp://127.0.0.1:{silent.getsockname()[1]}", "inproc://nobody"):
            error = refusal(lambda a=address: connected(a).__enter__(), "GSM-406", error=GossamerError)
            assert error.what == "no scheduler answers"
            assert address in error.found


@pytest.mark.parametrize("address", ["nonsense", "", "8786", "http://head:1", "head:99999", "head:0", "tcp://[::1"])
def test_what_is_no_address_is_refused(address):
    error = refusal(lambda: find_scheduler(address), "GSM-406", error=GossamerError)
    assert (error.what, error.found) == ("not the address of a scheduler", repr(address))


@pytest.mark.parametrize(
    ("verb", "address", "seconds"),
    [("simulate", "tcp://127.0.0.1:1", PATIENCE), ("simulate", "nonsense", 0), ("sweep", "nonsense", 0)],
)
def test_a_wrong_address_is_refused_in_time_and_nothing_else_is_said(verb, address, seconds, files, tmp_path):
    name = "net.graph" if verb == "simulate" else "net.safetensors"
    command = [sys.executable, "-m", "gossamer", verb, files / name, "--data", files / "x.npz", "--cluster", address]
    started = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error GSM-406: ")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["where", "found", "expected"]
    assert time.monotonic() - started < seconds + 10


@pytest.mark.parametrize(
    ("options", "code"),
    [({"shard": 0}, "GSM-404"), ({"y": np.zeros(5, int)}, "GSM-401"), ({"x": np.zeros((0, 3, 8, 8))}, "GSM-401")],
)
def test_a_call_that_makes_no_sense_is_refused_before_anybody_is_asked(options, code):
    call = {"x": np.zeros((4, 3, 8, 8), np.float32), "address": "tcp://127.0.0.1:1", **options}
    refusal(lambda: simulate_on_cluster(compile(small_convolutional()), **call), code, error=GossamerError)


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


def test_a_sweep_takes_one_value_or_several():
    x, network = RNG.random((2, 3, 8, 8), np.float32), small_convolutional()
    (one,) = sweep({"a": network}, x, weight_bits=8, n_steps=2, chips="loihi")
    assert one == sweep({"a": network}, x, weight_bits=[8], n_steps=[2], chips=["loihi"])[0]


def test_a_sweep_looks_at_its_arguments_before_it_starts():
    x, network = np.full((2, 3, 8, 8), np.nan), small_convolutional()
    refusal(lambda: sweep({"a": network}, x, chips="nowhere"), "GSM-501", error=GossamerError)
    for networks in ({"a": "net.safetensors"}, "net.safetensors", [network]):
        error = refusal(lambda networks=networks: sweep(networks, x), "GSM-404", error=GossamerError)
        assert "load_checkpoint" in error.remedy


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_a_sweep_takes_one_thread_at_least(threads):
    x = np.zeros((2, 3, 8, 8), np.float32)
    refused = refusal(lambda: sweep({"a": small_convolutional()}, x, threads=threads), "GSM-404", error=GossamerError)
    assert refused.where == "threads"
