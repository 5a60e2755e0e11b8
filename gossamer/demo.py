"""The whole path on the bundled digits: train, compile, simulate, count, price, attack, check, report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checks import Check, counts_agree, files_whole, floats_measured, integers_agree, masks_held
from .compiler import Network, SynapticGraph, compile_network, load_checkpoint
from .hwmodels import GossamerError
from .report.entry import Entry
from .samples import load_images
from .simulator import simulate
from .verbs import attack, energy, train

if TYPE_CHECKING:
    from .training import Dataset, Progress, Recipe

RECIPES = ("digits", "digits-natural")
WEIGHT_BITS = 8
ATTACK_STEPS = 20
ARITHMETIC, MEMORY, LOIHI = "45 nm, arithmetic", "45 nm, with memory", "Loihi"
FLOAT_CHIPS = {ARITHMETIC: "cmos-45nm:op-only-fp32", MEMORY: "cmos-45nm:memory-fp32", LOIHI: "loihi"}
INTEGER_CHIPS = {ARITHMETIC: "cmos-45nm:op-only-int8", MEMORY: "cmos-45nm:memory-int8", LOIHI: "loihi"}
CLEAN_GOAL = 0.95


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network of the table. path: its checkpoint. weight_bits: quantize it, or None."""

    name: str
    path: Path
    weight_bits: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What the demo has found."""

    entries: list[Entry]
    checks: list[Check]
    eps: float
    n_attack_steps: int
    seed: int
    n_train: int
    n_test: int
    facts: list[dict[str, Any]]

    @property
    def passed(self) -> bool:
        """True if every check holds."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            "data": {"name": "digits", "train": self.n_train, "test": self.n_test},
            "attack": {"name": "pgd", "eps": self.eps, "steps": self.n_attack_steps, "seed": self.seed},
            "networks": self.facts,
            "checks": [vars(check) for check in self.checks],
        }


def run_demo(
    out: Path,
    *,
    recipes: tuple[str, str] = RECIPES,
    seed: int | None = None,
    limit: int | None = None,
    progress: "Callable[[Progress], None] | None" = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Result:
    """Train both recipes into `out` (finished stages are kept), then measure five networks and check them.

    Args:
        out: Folder; made if missing.
        recipes: An adversarial and a natural one, on the digits.
        seed: Instead of the recipes'.
        limit: Measure on at most so many test images.
        progress: As in `train`.
        tell: Called with a line before each long step.
    Raises: GossamerError: as `train`, `attack` and `simulate`.
    """
    from .training import load_recipe

    recipe, baseline = (load_recipe(name) for name in recipes)
    if recipe.snn.trades is None:
        raise GossamerError("GSM-604", "the demo needs an adversarial recipe", where=f"recipe {recipe.name}")
    robust, natural = (_trained(r, out / r.name, seed, progress, tell) for r in (recipe, baseline))
    rows = [
        Row(name="dense ANN", path=robust["dense"]),
        Row(name="sparse ANN", path=robust["finetune"]),
        Row(name="converted SNN", path=robust["convert"]),
        Row(name="fine-tuned SNN", path=robust["snn"]),
        Row(name=f"fine-tuned SNN, {WEIGHT_BITS} bits", path=robust["snn"], weight_bits=WEIGHT_BITS),
        Row(name="naturally trained SNN", path=natural["snn"]),
    ]
    eps, chosen_seed = recipe.snn.trades.eps, recipe.seed if seed is None else seed
    test = load_images("digits", split="test", limit=limit)
    entries, facts, files = [], [], [*robust.values(), *natural.values()]
    for row in rows:
        tell(f"simulating and attacking: {row.name}")
        graph = compile_network(load_checkpoint(row.path), weight_bits=row.weight_bits)
        entry = _measured(row, graph, test, eps, chosen_seed)
        stem = row.name.replace(",", "").replace(" ", "-").lower()
        graph_path, run_path = out / f"{stem}.graph.safetensors", out / f"{stem}.run.safetensors"
        graph.save(graph_path)
        entry.run.save(run_path)
        files += [graph_path, run_path]
        entries.append(entry)
        facts.append(_facts(row, graph, entry))
    tell("checking that the network is the same everywhere")
    checks = _checks(load_checkpoint(robust["snn"]), test, robust, files, entries)
    return Result(
        entries=entries,
        checks=checks,
        eps=eps,
        n_attack_steps=ATTACK_STEPS,
        seed=chosen_seed,
        n_train=load_images("digits", split="train").n_samples,
        n_test=test.n_samples,
        facts=facts,
    )


def _trained(
    recipe: "Recipe",
    folder: Path,
    seed: int | None,
    progress: "Callable[[Progress], None] | None",
    tell: Callable[[str], None],
) -> dict[str, Path]:
    """The checkpoints of a recipe; those of an earlier run with the same recipe, data and versions are kept."""
    tell(f"training: recipe {recipe.name}, in {folder}")
    try:
        return train(recipe, out=folder, seed=seed, resume=True, progress=progress).checkpoints
    except GossamerError as error:
        if error.code != "GSM-606":
            raise
        tell(f"{folder} holds another run ({error.what}): training anew")
        (folder / "training-state.safetensors").unlink(missing_ok=True)
        return train(recipe, out=folder, seed=seed, progress=progress).checkpoints


def _measured(row: Row, graph: SynapticGraph, test: "Dataset", eps: float, seed: int) -> Entry:
    """Run a graph on the test images, price it, and attack the network if it is one that can be attacked."""
    x = test.images()
    simulate(graph, x[:1])  # loads the kernels, so that `seconds` is simulation alone
    run = simulate(graph, x, test.y)
    prices = FLOAT_CHIPS if row.weight_bits is None else INTEGER_CHIPS
    reports = energy(run, list(prices.values()))
    robust = None
    if row.weight_bits is None:
        robust = attack(row.path, test, eps=eps, n_steps=ATTACK_STEPS, seed=seed).adversarial_accuracy
    return Entry(
        name=row.name,
        run=run,
        energies={kind: reports[chip] for kind, chip in prices.items()},
        accuracy=run.accuracy,
        robust=robust,
    )


def _facts(row: Row, graph: SynapticGraph, entry: Entry) -> dict[str, Any]:
    run, total = entry.run, entry.run.total
    memory = [graph.memory(p.name) for p in graph.populations]
    return {
        "name": row.name,
        "checkpoint": row.path.name,
        "arithmetic": graph.arithmetic,
        "n_steps": run.n_steps,
        "clean_accuracy": entry.accuracy,
        "pgd_accuracy": entry.robust,
        "nonzero_weights": sum(graph.n_weights(p.name) for p in graph.populations),
        "memory_bytes": {"shared": sum(m[0] for m in memory), "unrolled": sum(m[1] for m in memory)},
        "synaptic_ops_per_sample": total.synaptic_ops / run.n_samples,
        "macs_per_sample": total.macs / run.n_samples,
        "energy_pj_per_sample": {
            f"{r.chip}:{r.price_list}": {"pj": r.per_sample_pj, "partial": r.partial, "unpriced": dict(r.unpriced)}
            for r in entry.energies.values()
        },
    }


def _checks(
    network: Network, test: "Dataset", robust: dict[str, Path], files: Sequence[Path], entries: Sequence[Entry]
) -> list[Check]:
    x = test.images()
    checks = [
        *integers_agree(network, x, weight_bits=WEIGHT_BITS),
        *floats_measured(network, x),
        *counts_agree(network, x),
    ]
    checks += masks_held([robust[stage] for stage in ("prune", "finetune", "convert", "snn")])
    checks += files_whole(files)
    tuned, natural = entries[3], entries[-1]
    if tuned.accuracy is not None and tuned.robust is not None and natural.robust is not None:
        checks += [
            Check(
                passed=tuned.accuracy >= CLEAN_GOAL,
                text=f"the fine-tuned SNN is right on {100 * tuned.accuracy:.2f} % of held-out data (goal: 95 %)",
            ),
            Check(
                passed=tuned.robust > natural.robust,
                text=f"it is more robust than the naturally trained SNN of the same density: "
                f"{100 * tuned.robust:.2f} % against {100 * natural.robust:.2f} % under attack",
            ),
        ]
    return checks
