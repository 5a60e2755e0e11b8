"""The whole path of a recipe: train, compile, simulate, count, price, attack, check, report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checks import Check, counts_agree, files_whole, floats_measured, integers_agree, masks_held
from .compiler import Array, Network, SynapticGraph, compile_network, load_checkpoint
from .hwmodels import GossamerError
from .report.entry import USUAL_CHIPS, Entry
from .report.numbers import percent
from .robustness import attack
from .samples import load_images
from .simulator import simulate
from .verbs import energy, train

if TYPE_CHECKING:
    from .training import Dataset, Progress, Recipe

WEIGHT_BITS = 8
ATTACK_STEPS = 20
N_CHECKED = 1000  # test images that are attacked, and on which executors are compared spike for spike
TUNED = 3  # the row of the network that all of it is for


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
    data: str
    eps: float
    n_attack_steps: int
    seed: int
    n_train: int
    n_test: int
    n_checked: int
    facts: list[dict[str, Any]]

    @property
    def passed(self) -> bool:
        """True if every check holds."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            "data": {"name": self.data, "train": self.n_train, "test": self.n_test},
            "attack": {
                "name": "pgd",
                "eps": self.eps,
                "steps": self.n_attack_steps,
                "seed": self.seed,
                "n_samples": self.n_checked,
            },
            "networks": self.facts,
            "checks": [vars(check) for check in self.checks],
        }


def run_demo(
    out: Path,
    *,
    recipe: str | Path = "digits",
    baseline: str | Path | None = None,
    data_dir: Path | None = None,
    seed: int | None = None,
    limit: int | None = None,
    progress: "Callable[[Progress], None] | None" = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Result:
    """Train a recipe and its baseline into `out` (finished stages are kept), then measure their networks, check them.

    Args:
        out: Folder; made if missing.
        recipe: An adversarial one: the name of a bundled recipe, or the path of a TOML file.
        baseline: A natural one on the same data. None takes the bundled recipe "NAME-natural", if there is one.
        data_dir: The folder that holds the data sets; see `load_dataset`.
        seed: Instead of the recipes'.
        limit: Measure on at most so many test images.
        progress: As in `train`.
        tell: Called with a line before each long step.
    Raises: GossamerError: as `train`, `attack` and `simulate`.
    """
    plans = _recipes(recipe, baseline)
    plan = plans[0]
    if plan.snn is None or plan.snn.robust is None:
        raise GossamerError("GSM-604", "the demo needs an adversarial recipe", where=f"recipe {plan.name}")
    test = load_images(plan.data.name, split="test", data_dir=data_dir, limit=limit)  # missing data: before training
    n_train = load_images(plan.data.name, split="train", data_dir=data_dir, limit=plan.data.limit).n_samples
    robust, *others = (_trained(p, out / p.name, data_dir, seed, progress, tell) for p in plans)
    rows = [
        Row(name="dense ANN", path=robust["dense"]),
        Row(name="sparse ANN", path=robust["finetune"]),
        Row(name="converted SNN", path=robust["convert"]),
        Row(name="fine-tuned SNN", path=robust["snn"]),
        Row(name=f"fine-tuned SNN, {WEIGHT_BITS} bits", path=robust["snn"], weight_bits=WEIGHT_BITS),
        *(Row(name="naturally trained SNN", path=natural["snn"]) for natural in others),
    ]
    eps, chosen_seed = plan.snn.robust.eps, plan.seed if seed is None else seed
    attacked = test.limit(N_CHECKED)
    entries, facts, files = [], [], [path for paths in (robust, *others) for path in paths.values()]
    for row in rows:
        tell(f"simulating and attacking: {row.name}")
        graph = compile_network(load_checkpoint(row.path), weight_bits=row.weight_bits)
        entry = _measured(row, graph, test, attacked, eps, chosen_seed)
        stem = row.name.replace(",", "").replace(" ", "-").lower()
        graph_path, run_path = out / f"{stem}.graph.safetensors", out / f"{stem}.run.safetensors"
        graph.save(graph_path)
        entry.run.save(run_path)
        files += [graph_path, run_path]
        entries.append(entry)
        facts.append(_facts(row, graph, entry))
    tell("checking that the network is the same everywhere")
    checks = [
        *_sameness(load_checkpoint(robust["snn"]), attacked.images()),
        *masks_held([robust[stage] for stage in ("prune", "finetune", "convert", "snn")]),
        *files_whole(files),
        *_promises(plan.recipe.goal, entries[TUNED], entries[-1] if others else None),
    ]
    return Result(
        entries=entries,
        checks=checks,
        data=plan.data.name,
        eps=eps,
        n_attack_steps=ATTACK_STEPS,
        seed=chosen_seed,
        n_train=n_train,
        n_test=test.n_samples,
        n_checked=attacked.n_samples,
        facts=facts,
    )


def _recipes(recipe: str | Path, baseline: str | Path | None) -> "list[Recipe]":
    """The recipe and its baseline, where there is one."""
    from .training import list_recipes, load_recipe

    plan = load_recipe(recipe)
    if baseline is None:
        natural = f"{plan.name}-natural"
        return [plan, load_recipe(natural)] if natural in list_recipes() else [plan]
    other = load_recipe(baseline)
    if other.data.name != plan.data.name or other.name == plan.name:
        raise GossamerError(
            "GSM-604",
            "a baseline is another recipe on the same data",
            where=f"recipe {other.name}",
            found=f"data {other.data.name!r}, name {other.name!r}",
            expected=f"data {plan.data.name!r}, not {plan.name!r}",
        )
    return [plan, other]


def _trained(
    recipe: "Recipe",
    folder: Path,
    data_dir: Path | None,
    seed: int | None,
    progress: "Callable[[Progress], None] | None",
    tell: Callable[[str], None],
) -> dict[str, Path]:
    """The checkpoints of a recipe; those of an earlier run with the same recipe, data and versions are kept."""
    tell(f"training: recipe {recipe.name}, in {folder}")
    try:
        return train(recipe, out=folder, data_dir=data_dir, seed=seed, resume=True, progress=progress).checkpoints
    except GossamerError as error:
        if error.code != "GSM-606":
            raise
        tell(f"{folder} holds another run ({error.what}): training anew")
        for path in (folder / "training-state.safetensors", *folder.glob("[1-5]-*.safetensors")):
            path.unlink(missing_ok=True)
        return train(recipe, out=folder, data_dir=data_dir, seed=seed, progress=progress).checkpoints


def _measured(row: Row, graph: SynapticGraph, test: "Dataset", attacked: "Dataset", eps: float, seed: int) -> Entry:
    """Run a graph on the test images, price it, and attack the network if it is one that can be attacked."""
    run = simulate(graph, test.images(), test.y)
    prices = USUAL_CHIPS[run.arithmetic]
    reports = energy(run, list(prices.values()))
    robust = None
    if row.weight_bits is None:
        robust = attack(row.path, attacked, eps=eps, n_steps=ATTACK_STEPS, seed=seed).adversarial_accuracy
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


def _sameness(network: Network, x: Array) -> list[Check]:
    return [
        *integers_agree(network, x, weight_bits=WEIGHT_BITS),
        *floats_measured(network, x),
        *counts_agree(network, x, weight_bits=WEIGHT_BITS),
    ]


def _promises(goal: float | None, tuned: Entry, natural: Entry | None) -> list[Check]:
    """What the recipe set out for."""
    checks = []
    if goal is not None and tuned.accuracy is not None:
        text = f"the fine-tuned SNN is right on {percent(tuned.accuracy)} of the test images (goal: {percent(goal)})"
        checks.append(Check(passed=tuned.accuracy >= goal, text=text))
    if natural is not None and tuned.robust is not None and natural.robust is not None:
        text = (
            "it is more robust than the naturally trained SNN of the same density: "
            f"{percent(tuned.robust)} against {percent(natural.robust)} under attack"
        )
        checks.append(Check(passed=tuned.robust > natural.robust, text=text))
    return checks
