"""Every combination of networks, weight bits, steps and chips: what each computes, how well, and at what cost."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from .compiler import Array, Network, compile_network
from .hwmodels import GossamerError, price
from .simulator import Samples, available_cores, simulate


@dataclass(frozen=True, kw_only=True)
class Point:
    """One combination. Counts are per sample; energy_pj: per chip, in pJ per sample.

    weight_bits: None for float32. accuracy: None without labels. partial: chips that lack a price for something
    counted.
    """

    network: str
    weight_bits: int | None
    n_steps: int
    accuracy: float | None
    spikes: float
    synaptic_ops: float
    macs: float
    energy_pj: dict[str, float]
    partial: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def sweep(
    networks: dict[str, Network],
    x: Samples,
    y: Array | None = None,
    *,
    weight_bits: Sequence[int | None] = (None,),
    n_steps: Sequence[int | None] = (None,),
    chips: Sequence[str] = (),
    address: str | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Point]:
    """Compile, simulate and price every combination.

    Args:
        networks: By the name that they have in the answer.
        x, y: Samples and labels, as `simulate` takes them.
        weight_bits: Of integers, or None for float32. n_steps: T, or None for each network's own.
        chips: See `gossamer.energy`; all price the same run.
        address: Of a dask.distributed scheduler, whose workers take the combinations and each hold all samples; threads
            of this process if None.
        threads: How many take them here; all cores if None. On a cluster, those of each: 1 if None, for a worker runs
            as many combinations as it has threads.
        progress: Called with (combinations done, combinations).
    Returns: One point per combination, in the order network, weight bits, steps. They do not depend on where they ran.
    Raises: GossamerError: GSM-2xx, GSM-3xx, GSM-4xx, GSM-5xx for the first combination that fails.
    """
    named = [(name, bits, steps) for name, bits, steps in product(networks, weight_bits, n_steps)]
    n_done = 0

    def tell() -> None:
        nonlocal n_done
        n_done += 1
        if progress is not None:
            progress(n_done, len(named))

    if threads is not None and threads < 1:
        raise GossamerError("GSM-404", "option out of range", where="threads", found=threads, expected=">= 1")
    if address is not None:
        from .cluster import connected, run_tasks

        with connected(address) as client:
            samples = client.submit(_same, (x, y), pure=False)  # tasks, so that they can be made again if lost
            there = {name: client.submit(_same, network, pure=False) for name, network in networks.items()}
            fixed = (tuple(chips), threads or 1)
            tasks = ((name, there[name], samples, bits, steps, *fixed) for name, bits, steps in named)
            done: dict[int, Point] = {}
            for i, point in run_tasks(client, _point, tasks):
                done[i] = point
                tell()
        return [done[i] for i in sorted(done)]
    points = []
    with ThreadPoolExecutor(threads or available_cores()) as pool:
        fixed = (tuple(chips), 1)
        futures = [
            pool.submit(_point, name, networks[name], (x, y), bits, steps, *fixed) for name, bits, steps in named
        ]
        try:
            for future in futures:
                points.append(future.result())
                tell()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return points


def _same(value: Any) -> Any:
    return value


def _point(
    name: str,
    network: Network,
    samples: tuple[Samples, Array | None],
    weight_bits: int | None,
    n_steps: int | None,
    chips: tuple[str, ...],
    threads: int,
) -> Point:
    try:
        graph = compile_network(network, weight_bits=weight_bits)
        run = simulate(graph, *samples, n_steps=n_steps, threads=threads)
        total, n, layers = run.total, run.n_samples, run.layer_activities()
        reports = {chip: price(layers, chip, n, n_steps=run.n_steps) for chip in chips}
    except GossamerError as error:
        numbers = "float32" if weight_bits is None else f"{weight_bits} bits"
        raise error.within(f"{name}, {numbers}, T = {network.n_steps if n_steps is None else n_steps}") from error
    return Point(
        network=name,
        weight_bits=weight_bits,
        n_steps=run.n_steps,
        accuracy=run.accuracy,
        spikes=total.spikes / n,
        synaptic_ops=total.synaptic_ops / n,
        macs=total.macs / n,
        energy_pj={chip: report.per_sample_pj for chip, report in reports.items()},
        partial=tuple(chip for chip, report in reports.items() if report.partial),
    )
