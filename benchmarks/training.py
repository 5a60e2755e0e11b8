"""Forward and backward through time, beside SpikingJelly and snnTorch with the same network, weights, batch and T.

    make rivals
    .venv-rivals/bin/python benchmarks/training.py [--rounds N] [--out FILE.md]

Each runs in a process of its own; rounds go through them in random order. A step is loss, backward pass and nothing
else. Before anything is timed, logits with the same statistics of batch norm are compared. Two threads.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from c_twins import machine
from training_worker import N_STEPS, NETWORKS, RUNNERS, THREADS

WORKER = Path(__file__).with_name("training_worker.py")
CASES = [("conv6", 32), ("conv6", 8), ("dense3", 128), ("resnet20", 16)]


class Worker:
    """A process that holds one network of one framework, and times a step when asked."""

    def __init__(self, name: str, network: str, batch: int) -> None:
        command = [sys.executable, str(WORKER), name, network, str(batch)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.logits = self._answer()["logits"]
        self.seconds: list[float] = []
        self.megabytes = 0.0

    def step(self) -> None:
        """Time one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.seconds.append(answer["seconds"])
        self.megabytes = answer["megabytes"]

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(f"{self.process.args} ended")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def measure(network: str, batch: int, rounds: int) -> list[str]:
    """Rows of the table for one network and batch."""
    names = [name for name, (package, _) in RUNNERS.items() if find_spec(package)]
    workers = {name: Worker(name, network, batch) for name in names}
    try:
        reference = workers[names[0]].logits
        for name, worker in workers.items():
            difference = max(abs(a - b) for a, b in zip(reference, worker.logits, strict=True))
            if difference > 1e-4:
                raise SystemExit(f"{name}: logits differ by {difference:.2g}: not the same network")
        for _ in range(rounds + 1):
            for name in random.sample(names, len(names)):
                workers[name].step()
    finally:
        for worker in workers.values():
            worker.close()
    median = {name: statistics.median(worker.seconds[1:]) for name, worker in workers.items()}
    rivals = [name for name in names if not name.startswith("Gossamer")]
    best = min((median[name] for name in rivals), default=float("nan"))
    return [
        f"| {network}, batch {batch} | {name} | {1000 * median[name] / batch:.2f} | {batch / median[name]:,.0f} "
        f"| {best / median[name]:.2f} | {workers[name].megabytes:,.0f} |"
        for name in names
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    packages = [f"{name} {version(name)}" for name in ("torch", "spikingjelly", "snntorch") if find_spec(name)]
    lines = [f"{machine(THREADS, *packages)} T = {N_STEPS}, medians of {arguments.rounds} rounds.", ""]
    lines += [f"`{name}`: {text}." for name, text in NETWORKS.items()]
    lines += ["", "| network | | ms per sample | samples per second | times the fastest rival | MB of a step |"]
    lines += ["|---|---|---|---|---|---|"]
    for network, batch in CASES:
        lines += measure(network, batch, arguments.rounds)
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
