"""A recipe's rehearsal: the same network, stages, losses and attacks for a few steps, before hours are spent on it."""

from typing import Any

from .recipe import Fit, Recipe, parse_recipe

N_IMAGES = 8
N_HELD = 2  # of these, to choose the epoch
BATCH = 3  # two batches an epoch, so that what comes between batches is rehearsed, too


def rehearsal(recipe: Recipe) -> Recipe:
    """The recipe cut short: one epoch of each stage, two batches long, attacks of two steps at most; one batch to
    calibrate with.

    Nothing is made smaller but amounts: the network, its T, losses, attacks and optimizers are the recipe's. What it
    trains is of no use. Its name ends in "-rehearsal".
    """
    tables = recipe.to_dict()
    tables["recipe"] |= {"name": f"{recipe.name[:70]}-rehearsal"}
    tables["recipe"].pop("goal", None)
    tables["data"]["limit"] = N_IMAGES
    tables["validation"] |= {"fraction": N_HELD / N_IMAGES}
    if "attack_steps" in tables["validation"]:
        tables["validation"] |= {"limit": N_HELD, "attack_steps": 2}
    for stage in recipe.stages:
        settings = getattr(recipe, stage)
        if isinstance(settings, Fit):
            _shorten(tables[stage])
    if recipe.convert is not None:
        convert = tables["convert"]
        convert |= {"batches": 1, "batch_size": min(convert["batch_size"], BATCH)}
        if "steps" in convert:
            convert["steps"] = min(convert["steps"], convert["n_steps"])
    return parse_recipe(tables, where=f"the rehearsal of {recipe.name}")


def _shorten(table: dict[str, Any]) -> None:
    table |= {"epochs": 1, "batch_size": min(table["batch_size"], BATCH)}
    if "steps" in table.get("robust", {}):
        table["robust"]["steps"] = min(table["robust"]["steps"], 2)
    if "rewire" in table:
        table["rewire"] |= {"every": 1}
