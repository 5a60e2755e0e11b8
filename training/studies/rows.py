"""Studies: the rows of a table, each a recipe of its own, made from one recipe by changing what the row is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import TrainingError
from ..recipe import FOR_ATTACKS, MEASURING, STAGE_NAMES, Fit, Hydra, Model, Recipe, Stage, parse_recipe

Method = Literal[
    "none", "hydra", "harp", "magnitude", "random", "end-to-end", "end-to-end-rigl", "end-to-end-pgd", "hydra-channels",
    "hydra-kernels", "hydra-4x1", "hydra-n-of-m", "hydra-rewired",
]  # fmt: skip
METHODS: tuple[Method, ...] = get_args(Method)[1:]
PATTERNS = {"hydra-channels": "channels", "hydra-kernels": "kernels", "hydra-4x1": "4x1"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: how the network became sparse, the share of weights it keeps, and all that its training depends on.

    kind: what rows of this method and share are called in every base; name: with the base's.
    """

    name: str
    kind: str
    method: Method
    density: float
    recipe: Recipe


def rows_of(base: Recipe, *, densities: Sequence[float], methods: Sequence[Method] = METHODS) -> list[Row]:
    """The dense network, then every method at every density.

    none         the base without pruning and sparse fine-tuning.
    hydra, harp  the base with scores, or scores and shares, trained as its [prune] says.
    magnitude, random  the base with these masks instead of trained ones.
    end-to-end   no artificial network: a spiking network with a random mask (Erdős-Rényi shares) is trained from random
                 weights as the base's [snn], with the optimizer and learning rate of [dense], for as many epochs as the
                 base takes in all its stages.
    end-to-end-rigl  the same, but the mask is rewired where gradients are largest (Evci et al. 2020).
    end-to-end-pgd   as end-to-end, but against the attack of the base's [dense.robust], as the other rows' artificial
                 stages.
    hydra-channels, hydra-kernels, hydra-4x1  as hydra, but channels, kernels, or blocks of 4 output channels are kept
                 together.
    hydra-n-of-m    as hydra, but N of M successive weights are kept: 2:4 at a half, 1:M at 1 / M.
    hydra-rewired  as hydra, but the mask is rewired while the spiking network is fine-tuned.

    Args:
        base: With all five stages, and scores to be trained in [prune].
        densities: Shares of weights, in (0, 1).
        methods: Of METHODS.
    Raises: TrainingError: GSM-604 if the base has not what rows are made of.
    """
    if base.stages != ["dense", "prune", "finetune", "convert", "snn"] or not isinstance(base.prune, Fit):
        raise TrainingError(
            "GSM-604",
            "not a recipe that rows can be made of",
            where=f"recipe {base.name}",
            found=f"stages {', '.join(base.stages)}",
            expected="all five, with hydra or harp in [prune]",
        )
    rows = [_row(base, "none", 1.0)]
    return rows + [_row(base, method, density) for density in densities for method in methods]


def only(recipe: Recipe, stages: Sequence[Stage], *, start: str | None = None) -> Recipe:
    """The recipe with these stages alone, and with another network to begin with: to share what rows have in common."""
    changes: dict[str, Any] = {stage: None for stage in recipe.stages if stage not in stages}
    return recipe.model_copy(update=changes | ({} if start is None else {"model": Model(checkpoint=start)}))


def _row(base: Recipe, method: Method, density: float) -> Row:
    tables = base.to_dict()
    if method == "none":
        del tables["prune"], tables["finetune"]
    elif method == "harp":
        tables["prune"] |= {"method": method, "density": density}
    elif method.startswith("hydra"):
        scores = {key: value for key, value in tables["prune"].items() if key in Hydra.model_fields}
        tables["prune"] = scores | {"method": "hydra", "density": density}
        if method in PATTERNS:
            tables["prune"]["pattern"] = PATTERNS[method]
        elif method == "hydra-n-of-m":
            tables["prune"]["pattern"] = _n_of_m(density)
        elif method == "hydra-rewired":
            tables["snn"]["rewire"] = {}
    elif method in ("magnitude", "random"):
        tables["prune"] = {"method": method, "density": density}
    else:
        tables = _end_to_end(tables, density, method)
    if not any("robust" in tables.get(stage, {}) for stage in STAGE_NAMES):
        for field in FOR_ATTACKS:
            tables["validation"].pop(field, None)
    kind = kind_of(method, density)
    name = f"{base.name}-{kind}"
    tables["recipe"]["name"] = name
    return Row(name=name, kind=kind, method=method, density=density, recipe=parse_recipe(tables, where=name))


def _n_of_m(density: float) -> str:
    """ "2:4" for a half, which hardware knows, "1:4", "3:4"; else "1:M"."""
    quarters = 4 * density
    return f"{quarters:g}:4" if quarters == round(quarters) else f"1:{round(1 / density)}"


def kind_of(method: Method, density: float) -> str:
    """What a row is called in every base: "dense", "hydra-90"."""
    return "dense" if method == "none" else f"{method}-{100 * (1 - density):g}"


def _end_to_end(tables: dict[str, Any], density: float, method: Method) -> dict[str, Any]:
    dense = tables["dense"]
    epochs = sum(tables[stage]["epochs"] for stage in ("dense", "prune", "finetune", "snn"))
    taken = ("optimizer", "lr", "schedule", "momentum", "weight_decay")
    own = {key: value for key, value in tables["snn"].items() if key not in taken}
    tables["snn"] = own | {"epochs": epochs} | {key: dense[key] for key in taken if key in dense}
    tables["snn"].pop("rewire", None)
    if method == "end-to-end-rigl":
        tables["snn"]["rewire"] = {}
    elif method == "end-to-end-pgd" and "robust" in dense:
        tables["snn"]["robust"] = dense["robust"]
    tables["convert"] = {key: value for key, value in tables["convert"].items() if key not in MEASURING}
    tables["convert"]["threshold"] = 1.0
    tables["prune"] = {"method": "random", "density": density, "spread": "erdos-renyi"}
    del tables["dense"], tables["finetune"]
    return tables
