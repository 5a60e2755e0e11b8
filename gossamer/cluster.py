"""Many machines: shards of a data set, and points of a sweep, as tasks of a dask.distributed scheduler.

A task holds all that it needs, so that the scheduler can run it again elsewhere if its worker dies.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .compiler import Array, SynapticGraph
from .hwmodels import GossamerError
from .report.optional import optional_package
from .simulator import Activity, Samples, as_samples, join_activities, part_of
from .simulator import simulate as simulate_here

SHARD = 256  # samples in a task: enough for full blocks, few enough to be lost with a worker
PATIENCE = "10s"  # for a scheduler to answer
RETRIES = 10  # workers that may die under one task

Report = Callable[[int, int], None]


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`, such as tcp://head:8786.

    Raises: GossamerError: GSM-701 without dask.distributed, GSM-406 if no scheduler answers, or it has no workers.
    """
    distributed = optional_package("distributed", extra="dask", needed_for="a cluster")
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise GossamerError(
            "GSM-406",
            "no scheduler answers",
            where="--cluster",
            found=f"{address} ({type(error).__name__})",
            expected="the address that `dask scheduler` prints, such as tcp://head:8786",
        ) from None
    try:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise GossamerError(
                "GSM-406", "the scheduler has no workers", where=address, remedy=f"start some: dask worker {address}"
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            with client.as_current():
                yield client
    finally:
        client.close()


def run_tasks(
    client: Any, work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], progress: Callable[[int], None] | None
) -> list[Any]:
    """What `work` returns for each task's arguments, in their order. progress: called with each index that is done.

    Raises: GossamerError: as `work`, or GSM-406 if workers keep dying under a task.
    """
    distributed = optional_package("distributed", extra="dask", needed_for="a cluster")
    futures = [client.submit(work, *task, pure=False, retries=RETRIES) for task in tasks]
    index = {future.key: i for i, future in enumerate(futures)}
    results: list[Any] = [None] * len(tasks)
    try:
        for future in distributed.as_completed(futures):
            i = index[future.key]
            results[i] = future.result()
            if progress is not None:
                progress(i)
    except distributed.KilledWorker as error:
        raise GossamerError(
            "GSM-406",
            "workers die under this work",
            found=error,
            remedy="give them more memory, or look at their logs",
        ) from None
    finally:
        client.cancel([future for future in futures if not future.done()])
    return results


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
        graph, x, y: See `simulate`; samples must be independent of each other. address: Of the scheduler. shard:
        Samples in a task. **options: n_steps, threads (of each task; 1 if None, for a worker runs as many tasks as it
        has threads), engine,
            record.
    Raises: GossamerError: GSM-4xx as `simulate`, GSM-406 for the cluster, GSM-701 without dask.distributed.
    """
    if not graph.reset_between_samples:
        raise GossamerError(
            "GSM-404", "samples that are one stream cannot be divided", where=graph.name, remedy="leave out --cluster"
        )
    options["threads"] = 1 if options.get("threads") is None else options["threads"]
    x = as_samples(x)
    if not x.shape or len(x) == 0:
        return simulate_here(graph, x, y, **options)  # refuses
    started = time.perf_counter()
    edges = [(a, min(a + shard, len(x))) for a in range(0, len(x), shard)]
    n_done = 0

    def tell(i: int) -> None:
        nonlocal n_done
        n_done += edges[i][1] - edges[i][0]
        if progress is not None:
            progress(n_done, len(x))

    with connected(address) as client:
        there = client.submit(_same, graph, pure=False)  # a task, so that it can be made again where it is lost
        tasks = [(there, part_of(x, a, b), None if y is None else np.asarray(y)[a:b], a, options) for a, b in edges]
        parts = run_tasks(client, _simulate_shard, tasks, tell)
    return join_activities(parts, seconds=time.perf_counter() - started)


def _same(graph: SynapticGraph) -> SynapticGraph:
    return graph


def _simulate_shard(graph: SynapticGraph, x: Array, y: Array | None, first_sample: int, options: Any) -> Activity:
    return simulate_here(graph, x, y, first_sample=first_sample, **options)
