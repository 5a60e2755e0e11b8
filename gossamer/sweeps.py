"""Every combination of networks, weight bits, steps and chips: what each computes, how well, and at what cost."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from .compiler import Array, Network, compile_network
from .hwmodels import GossamerError, chip_and_prices, price
from .simulator import Samples, available_cores, check_whole, simulate


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
    weight_bits: int | Sequence[int | None] | None = None,
    n_steps: int | Sequence[int | None] | None = None,
    chips: str | Sequence[str] = (),
    address: str | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Point]:
    """Compile, simulate and price every combination.

    Args:
        networks: By the name that they have in the answer.
        x, y: Samples and labels, as `simulate` takes them.
        weight_bits: Of integers, or None for float32; or several of these.
        n_steps: T, or None for each network's own; or several of these.
        chips: See `gossamer.energy`; all price the same run.
        address: Of a dask.distributed scheduler, whose workers take the combinations and each hold all samples; threads
            of this process if None.
        threads: How many take them here; all cores if None. On a cluster, those of each: 1 if None, for a worker runs
            as many combinations as it has threads.
        progress: Called with (combinations done, combinations).
    Returns: One point per combination, in the order network, weight bits, steps. They do not depend on where they ran.
    Raises: GossamerError: GSM-2xx, GSM-3xx, GSM-4xx, GSM-5xx for the first combination that fails.
    """
    if not isinstance(networks, dict) or not all(isinstance(network, Network) for network in networks.values()):
        raise GossamerError(
            "GSM-404",
            "not networks by name",
            where="networks",
            found=ascii(networks)[:80],
            expected="such as {'a': network}",
            remedy="gossamer.load_checkpoint(path)",
        )
    check_whole(1 if threads is None else threads, 1, "threads")
    chips = _several(chips)
    for chip in chips:  # before anything is simulated
        chip_and_prices(chip)
    named = list(product(networks, _several(weight_bits), _several(n_steps)))
    n_done = 0

    def tell() -> None:
        nonlocal n_done
        n_done += 1
        if progress is not None:
            progress(n_done, len(named))

    if address is not None:
        from .cluster import connected, run_tasks

        with connected(address) as client:
            samples = client.submit(_same, (x, y), pure=False)  # tasks, so that they can be made again if lost
            there = {name: client.submit(_same, network, pure=False) for name, network in networks.items()}
            fixed = (chips, threads or 1)
            tasks = ((name, there[name], samples, bits, steps, *fixed) for name, bits, steps in named)
            done: dict[int, Point] = {}
            for i, point in run_tasks(client, _point, tasks):
                done[i] = point
                tell()
        return [done[i] for i in sorted(done)]
    points = []
    with ThreadPoolExecutor(threads or available_cores()) as pool:
        fixed = (chips, 1)
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


def _several(values: Any) -> tuple[Any, ...]:
    """One value, or those of a sequence."""
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)


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
        numbers = "float32" if weight_bits is None else f"int{weight_bits}"
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
