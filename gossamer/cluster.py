"""Many machines: shards of a data set, and points of a sweep, as tasks of a dask.distributed scheduler.

A task holds all that it needs, so that the scheduler can run it again elsewhere if its worker dies. Only as many are
under way as keep the workers busy, so that neither the scheduler nor this process holds a whole data set.
"""

import asyncio
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from .compiler import Array, SynapticGraph
from .hwmodels import GossamerError
from .report.optional import optional_package
from .simulator import Activity, Samples, as_samples, join_activities, part_of
from .simulator import simulate as simulate_here

SHARD = 256  # samples in a task: enough for full blocks, few enough to be lost with a worker
AHEAD = 3  # tasks for each thread of a worker: one that is run, others on their way
PATIENCE = 10  # seconds for a scheduler to answer

Report = Callable[[int, int], None]


def find_scheduler(address: str) -> None:
    """Refuse an address where no scheduler with workers answers.

    Raises: GossamerError: GSM-701 without dask.distributed, GSM-406.
    """
    distributed = optional_package("distributed", extra="dask", needed_for="a cluster")
    expected = "the address that `dask scheduler` prints, such as tcp://head:8786"
    if not _is_address(distributed, address):
        raise GossamerError(
            "GSM-406", "not the address of a scheduler", where="--cluster", found=repr(address), expected=expected
        )
    try:
        with ThreadPoolExecutor(1) as thread:  # this one may run a loop of its own, as in a notebook
            answer = thread.submit(asyncio.run, _ask(distributed, address)).result()
        found = "" if answer["type"] == "Scheduler" else f"{address} is a {answer['type'].lower()}"
    except Exception as error:  # whatever answers there need not speak as dask does
        found = f"{address} ({str(error) or type(error).__name__})"
    if found:
        raise GossamerError("GSM-406", "no scheduler answers", where="--cluster", found=found, expected=expected)
    if not answer["workers"]:
        raise GossamerError(
            "GSM-406", "the scheduler has no workers", where=address, remedy=f"start some: dask worker {address}"
        )


def _is_address(distributed: Any, address: str) -> bool:
    try:
        host, port = distributed.comm.get_address_host_port(address)
    except ValueError:
        return address.startswith("inproc://")  # which has neither
    return bool(host) and 0 < port < 1 << 16


async def _ask(distributed: Any, address: str) -> Any:
    """What is there, in its own words. A client would not give up in time, nor without a word on stderr."""
    options = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, connection_args=options) as there:
        return await asyncio.wait_for(there.identity(), PATIENCE)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`, such as tcp://head:8786.

    Raises: GossamerError: as `find_scheduler`, and GSM-406 if Gossamer is another version there.
    """
    find_scheduler(address)
    distributed = optional_package("distributed", extra="dask", needed_for="a cluster")
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)  # of a scheduler that goes away it prints a traceback; `run_tasks` says it
    client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    try:
        _check_versions(client.get_versions(packages=["gossamer"]))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            with client.as_current():
                yield client
    finally:
        client.close()
        log.setLevel(level)


def _check_versions(versions: Any) -> None:
    """A worker that cannot import what it is sent would die of it, and so would the next."""
    here = versions["client"]["packages"]["gossamer"]
    for where, there in {"the scheduler": versions["scheduler"], **versions["workers"]}.items():
        found = there["packages"]["gossamer"]
        if found != here:
            raise GossamerError(
                "GSM-406",
                "the cluster has another Gossamer than this machine",
                where=where,
                found=found or "none",
                expected=here,
                remedy=f"pip install 'gossamer[dask]=={here}' there, and start it again",
            )


def run_tasks(client: Any, work: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    """(index, what `work` returns) for each task's arguments, as they get done; tasks are taken when there is room.

    Raises: GossamerError: as `work`, or GSM-406 if workers keep dying under a task, or the scheduler does.
    """
    distributed = optional_package("distributed", extra="dask", needed_for="a cluster")
    gone = GossamerError(
        "GSM-406", "the scheduler has gone away", where="--cluster", remedy="look at its log, and start it again"
    )
    waiting, under_way = enumerate(tasks), distributed.as_completed(loop=client.loop)
    index: dict[str, int] = {}
    while True:
        try:
            room = max(1, AHEAD * sum(client.nthreads().values()))  # workers come and go
        except OSError:
            raise gone from None
        for i, task in islice(waiting, max(0, room - len(index))):
            future = client.submit(work, *task, pure=False)
            index[future.key] = i
            under_way.add(future)
        if not index:
            return
        future = next(under_way)
        if future.cancelled():
            raise gone
        try:
            result = future.result()
        except distributed.KilledWorker as error:
            raise GossamerError(
                "GSM-406",
                "workers die under this work",
                found=error,
                remedy="give them more memory, or look at their logs",
            ) from None
        yield index.pop(future.key), result


def simulate_on_cluster(
    graph: SynapticGraph,
    x: Samples,
    y: Array | None = None,
    *,
    address: str,
    shard: int = SHARD,
    progress: Report | None = None,
    **options: Any,
) -> Activity:
    """As `gossamer.simulate`, on the workers of a dask.distributed cluster; the same result, bit for bit.

    Args:
        graph, x, y: See `simulate`; samples must be independent of each other, and are read shard by shard.
        address: Of the scheduler. shard: Samples in a task.
        **options: n_steps, engine, record, and threads of each task: 1 if None, for a worker runs as many tasks as it
            has threads.
    Raises: GossamerError: GSM-4xx as `simulate`, GSM-406 for the cluster, GSM-701 without dask.distributed.
    """
    if not graph.reset_between_samples:
        raise GossamerError(
            "GSM-404", "samples that are one stream cannot be divided", where=graph.name, remedy="leave out --cluster"
        )
    if shard < 1:
        raise GossamerError("GSM-404", "option out of range", where="shard", found=shard, expected=">= 1")
    options["threads"] = 1 if options.get("threads") is None else options["threads"]
    x, y = as_samples(x), None if y is None else np.asarray(y)
    if not x.shape or len(x) == 0 or (y is not None and y.shape != (len(x),)):
        return simulate_here(graph, x, y, **options)  # refuses
    started, n_done = time.perf_counter(), 0
    parts: dict[int, Activity] = {}
    counts: Any = 0
    with connected(address) as client:
        there = client.submit(_same, graph, pure=False)  # a task, so that it can be made again where it is lost
        edges = ((a, min(a + shard, len(x))) for a in range(0, len(x), shard))
        tasks = ((there, part_of(x, a, b), None if y is None else y[a:b], a, options) for a, b in edges)
        for i, part in run_tasks(client, _simulate_shard, tasks):
            counts, layers = counts + part.counts, part.layers
            parts[i] = replace(part, counts=np.zeros(0, np.int64), layers=())  # of many shards, more than all else
            n_done += part.n_samples
            if progress is not None:
                progress(n_done, len(x))
    whole = join_activities([parts[i] for i in sorted(parts)], seconds=time.perf_counter() - started)
    return replace(whole, counts=counts, layers=layers)


def _same(graph: SynapticGraph) -> SynapticGraph:
    return graph


def _simulate_shard(graph: SynapticGraph, x: Array, y: Array | None, first_sample: int, options: Any) -> Activity:
    return simulate_here(graph, x, y, first_sample=first_sample, **options)
