"""Train and measure the rows of a study, one after the other; what is done is kept."""

import hashlib
import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler import write_text
from .hwmodels import GossamerError
from .measure_row import Facts, Measured, measure
from .samples import load_images
from .verbs import needs_torch, train

if TYPE_CHECKING:
    from .training import Progress, Recipe
    from .training.studies import Base, Row, Study

Tell = Callable[[str], None]
SHARED = "shared"  # folder of the artificial network that rows have in common
FIELDS = {"base", "row", "seed", "density", "depends", "data_sha256", "versions", "machine", "recipe", "seconds"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, and where. out: records go to out/records, checkpoints to out/runs. known: records of other runs."""

    study: "Study"
    out: Path
    known: list[Facts]
    data_dir: Path | None
    device: str
    progress: "Callable[[Progress], None] | None"
    tell: Tell


def reproduce(
    study: "Study | str | Path",
    *,
    out: str | Path | None = None,
    bases: Iterable[str] = (),
    rows: Iterable[str] = (),
    seeds: Iterable[int] = (),
    known: Iterable[Facts] = (),
    data_dir: str | Path | None = None,
    device: str = "cpu",
    progress: "Callable[[Progress], None] | None" = None,
    tell: Tell = lambda _: None,
) -> list[Facts]:
    """Train and measure every row of a study that has no record yet.

    The artificial network that rows have in common is trained once for each base and seed; a row goes on from it, which
    gives what its whole recipe would give. A row that was interrupted goes on where it was. Several processes may work
    on one study with different seeds or bases.

    Args:
        study: A study, the name of a bundled one ("robust-sparse-small"), or the path of a TOML file.
        out: Folder; "runs/NAME" if None.
        bases, rows, seeds: Only these: names of recipes, of rows without the base's ("hydra-90"), and seeds; all if
            empty.
        known: Records of other runs: a row that is among them, of the same recipe and study, is not made again.
        data_dir: The folder that holds the data sets; see `load_dataset`.
        device: Where torch trains: "cpu", "cuda", ...
        progress: Told after every batch of training.
        tell: Called with a line before each long step.
    Returns: The records of all rows that were asked for: what `measure_row.measure` says, and where it comes from.
    Raises: GossamerError: As `train`, `attack` and `simulate`; GSM-604 for what the study does not have.
    """
    needs_torch("training")
    from .training.studies import Study, load_study

    plan = study if isinstance(study, Study) else load_study(study)
    folder = Path("runs", plan.name) if out is None else Path(out)
    where = Plan(
        study=plan, out=folder, known=list(known), data_dir=None if data_dir is None else Path(data_dir), device=device,
        progress=progress, tell=tell,
    )  # fmt: skip
    return [_record(where, base, seed, row) for base, seed, row in _chosen(plan, set(bases), set(rows), set(seeds))]


def write_recipes(
    study: "Study",
    folder: str | Path,
    *,
    bases: Iterable[str] = (),
    rows: Iterable[str] = (),
    seeds: Iterable[int] = (),
) -> list[Path]:
    """Every row's whole recipe, as `train` takes it: what the row would be without what rows share.

    Args:
        study: Whose rows.
        folder: Files are called NAME-seedN.toml there; it is made if missing.
        bases, rows, seeds: Only these; all if empty.
    Returns: The files.
    Raises: GossamerError: GSM-604 for what the study does not have.
    """
    needs_torch("training")
    import tomli_w

    paths = []
    for _, seed, row in _chosen(study, set(bases), set(rows), set(seeds)):
        path = Path(folder, f"{row.name}-seed{seed}.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, tomli_w.dumps(row.recipe.to_dict()))
        paths.append(path)
    return paths


def load_records(paths: Iterable[str | Path]) -> list[Facts]:
    """Records from files: JSON objects, or one to a line.

    Raises: GossamerError: GSM-101, GSM-105 for a file that cannot be read or holds something else.
    """
    records: list[Facts] = []
    for path in paths:
        try:
            read = [dict(json.loads(line)) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]
        except OSError as error:
            raise GossamerError("GSM-101", "records cannot be read", where=str(path), found=error.strerror) from None
        except (ValueError, TypeError) as error:
            raise GossamerError("GSM-105", "not records of a study", where=str(path), found=error) from None
        for i, record in enumerate(read):
            if FIELDS - set(record):
                raise GossamerError(
                    "GSM-105",
                    "not a record of a study",
                    where=f"{path}, line {i + 1}",
                    found=f"no {', '.join(sorted(FIELDS - set(record)))}",
                    remedy="an older version's records are made anew: delete them",
                )
        records += read
    return records


def _chosen(study: "Study", bases: set[str], rows: set[str], seeds: set[int]) -> "Iterator[tuple[Base, int, Row]]":
    known = {base.name for base in study.base}
    kinds = {row.kind for base in study.base for row in study.rows(base, 0)}
    for what, wanted, there in (("base", bases, known), ("row", rows, kinds)):
        if wanted - there:
            found, expected = ", ".join(sorted(wanted - there)), ", ".join(sorted(there))
            raise GossamerError(
                "GSM-604", f"the study has no such {what}", where=study.name, found=found, expected=expected
            )
    for seed in sorted(seeds) or study.seeds:
        for base in study.base:
            for row in study.rows(base, seed):
                if base.name in (bases or known) and row.kind in (rows or kinds):
                    yield base, seed, row


def _record(plan: Plan, base: "Base", seed: int, row: "Row") -> Facts:
    """A row's record: one that is there, if it is of the same recipe, study, data and versions, or a new one."""
    from .training import Surrogate, limited_threads

    path = plan.out / "records" / f"{row.name}-seed{seed}.json"
    made_of = {"data_sha256": _data_sha256(row.recipe.data.name, plan.data_dir), "versions": _versions()}
    depends = depends_on(plan.study, base, row)
    for record in [*(load_records([path]) if path.exists() else []), *plan.known]:
        if record["depends"] == depends and {key: record[key] for key in made_of} == made_of:
            return record
    folder = plan.out / "runs" / f"{base.name}-seed{seed}"
    is_whole = not (folder / row.kind).exists()  # else an earlier process has spent time on it, nobody knows how much
    started = time.monotonic()
    trained, sources = _trained(plan, base, row, folder)
    trained_s = time.monotonic() - started
    plan.tell(f"measuring {row.name}, seed {seed}")
    recipe = row.recipe
    test = load_images(recipe.data.name, split="test", data_dir=plan.data_dir)
    snn = recipe.snn
    surrogate = Surrogate() if snn is None else Surrogate(name=snn.surrogate, width=snn.surrogate_width)
    measured = Measured(path=trained, sources=sources, surrogate=surrogate, test=test, seed=seed, device=plan.device)
    with limited_threads(recipe.recipe.threads):
        facts = measure(measured, plan.study, base)
    record = {
        "row": row.kind,
        "base": base.name,
        "seed": seed,
        "method": row.method,
        "density": row.density,
        "recipe": recipe.to_dict(),
        "depends": depends,
        **made_of,
        "machine": _machine(plan.device),
        "seconds": {
            "training": round(trained_s, 1) if is_whole else None,
            "measuring": round(time.monotonic() - started - trained_s, 1),
        },
        **facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, sort_keys=True) + "\n")
    return dict(json.loads(json.dumps(record)))


def depends_on(study: "Study", base: "Base", row: "Row") -> Facts:
    """What a row's record depends on besides data and versions, as JSON values."""
    depends = {
        "recipe_sha256": row.recipe.sha256(),
        "measure": study.measure_of(base).model_dump(),
        "eps": list(base.eps),
    }
    return dict(json.loads(json.dumps(depends)))


def of_study(study: "Study", records: Iterable[Facts]) -> list[Facts]:
    """Those that were made by the study as it is, one for each row and seed: the first.

    Of a base's records those are left out that were made of other data or with other versions than most.
    """
    wanted: dict[tuple[str, str, int], Facts] = {}
    valid: list[tuple[tuple[str, str, int], Facts]] = []
    for record in records:
        key = record["base"], record["row"], record["seed"]
        for base in study.base:
            if base.name == key[0] and key not in wanted:
                rows = study.rows(base, key[2])
                wanted |= {(base.name, row.kind, key[2]): depends_on(study, base, row) for row in rows}
        if record["depends"] == wanted.get(key):
            valid.append((key, record))
    most = {base.name: Counter(_made_of(r) for _, r in valid if r["base"] == base.name) for base in study.base}
    found: dict[tuple[str, str, int], Facts] = {}
    for key, record in valid:
        if _made_of(record) == most[record["base"]].most_common(1)[0][0]:
            found.setdefault(key, record)
    return list(found.values())


def _made_of(record: Facts) -> str:
    return json.dumps([record["data_sha256"], record["versions"]], sort_keys=True)


def _trained(plan: Plan, base: "Base", row: "Row", folder: Path) -> tuple[Path, tuple[Path, ...]]:
    """Checkpoints of the row's last stage, and of the artificial networks of its seed and of its own."""
    from .training.studies import only

    recipe = row.recipe
    shared = _run(plan, only(base.load(recipe.seed), ["dense"]), folder / SHARED).final
    if recipe.dense is None:
        return _run(plan, recipe, folder / row.kind).final, (shared,)
    rest = [stage for stage in recipe.stages if stage != "dense"]
    result = _run(plan, only(recipe, rest, start=str(shared)), folder / row.kind)
    own = result.checkpoints.get("finetune")
    return result.final, (shared,) if own is None else (shared, own)


def _run(plan: Plan, recipe: "Recipe", folder: Path) -> Any:
    plan.tell(f"training {recipe.name}, seed {recipe.seed}, in {folder}")
    return train(recipe, out=folder, data_dir=plan.data_dir, resume=True, device=plan.device, progress=plan.progress)


def _machine(device: str) -> str:
    name = platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{device}, {name}"


def _versions() -> Facts:
    return {"gossamer": version("gossamer"), "torch": version("torch"), "python": platform.python_version()}


@lru_cache(maxsize=4)
def _data_sha256(name: str, root: Path | None) -> str:
    """Of all images and labels."""
    digest = hashlib.sha256()
    for split in ("train", "test"):
        dataset = load_images(name, split=split, data_dir=root)
        digest.update(dataset.x.tobytes())
        digest.update(dataset.y.tobytes())
    return digest.hexdigest()
