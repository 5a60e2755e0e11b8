"""What a study trains and how it measures, as its TOML file says."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from ..errors import TrainingError
from ..recipe import NAME, Pixel, Recipe, Table, list_recipes, load_recipe
from .rows import Method, Row, rows_of

FOLDER = Path(__file__).parent


class Base(Table):
    """[[base]]: a recipe that rows are made of, by name or by its path, seen from the study's file. eps: sizes of
    attacks; the audit's is the first. attacked: instead of [measure]'s.
    """

    recipe: Annotated[str, Field(min_length=1)]
    eps: Annotated[tuple[Pixel, ...], Field(strict=False, min_length=1)]
    attacked: Annotated[int, Field(ge=1)] | None = None

    def load(self, seed: int = 0) -> Recipe:
        """The recipe."""
        return load_recipe(self.recipe).with_seed(seed)

    @property
    def name(self) -> str:
        """The recipe's."""
        return self.load().name


class Measure(Table):
    """[measure]: how rows are attacked.

    attacked: test images, spread over the classes. pgd_steps, ensemble_steps: of PGD with the network's own surrogate,
    and with each of the ensemble. queries: of Square, for each image. audited: images of the audit; 0: none.
    """

    attacked: Annotated[int, Field(ge=1)] = 500
    pgd_steps: Annotated[int, Field(ge=1)] = 20
    ensemble_steps: Annotated[int, Field(ge=1)] = 20
    audited: Annotated[int, Field(ge=0)] = 100
    audit_steps: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=3)] = (10, 20, 40)
    queries: Annotated[int, Field(ge=0)] = 500

    def idle(self) -> dict[str, str]:
        """Without an audit."""
        return {} if self.audited else {"audit_steps": "with audited 0"}


class Extra(Table):
    """[[extra]]: methods at shares of their own."""

    densities: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False, min_length=1)]
    methods: Annotated[tuple[Method, ...], Field(strict=False, min_length=1)]


class Study(Table):
    """A table: for each base, seed, method and share of weights a network that is trained and measured."""

    name: Annotated[str, Field(pattern=NAME)]
    title: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)]
    densities: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False, min_length=1)]
    methods: Annotated[tuple[Method, ...], Field(strict=False, min_length=1)]
    measure: Measure = Measure()
    base: Annotated[tuple[Base, ...], Field(strict=False, min_length=1)]
    extra: Annotated[tuple[Extra, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _bases_differ(self) -> Self:
        names = [base.name for base in self.base]
        if len(set(names)) < len(names):
            raise ValueError("each base once: rows of two would have one name")
        return self

    def measure_of(self, base: Base) -> Measure:
        """How a base's rows are attacked."""
        return self.measure if base.attacked is None else self.measure.model_copy(update={"attacked": base.attacked})

    def rows(self, base: Base, seed: int) -> list[Row]:
        """The dense network's row, then every method at every share."""
        recipe = base.load(seed)
        rows = rows_of(recipe, densities=self.densities, methods=self.methods)
        more = [row for e in self.extra for row in rows_of(recipe, densities=e.densities, methods=e.methods)[1:]]
        return list({row.kind: row for row in [*rows, *more]}.values())


def list_studies() -> tuple[str, ...]:
    """The bundled ones, as NAME-SCALE."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def _beside(path: Path, tables: dict[str, Any]) -> dict[str, Any]:
    """The study's tables, with paths of recipes that are seen from its folder made to be seen from here."""
    for base in tables.get("base", []):
        if isinstance(base, dict) and isinstance(recipe := base.get("recipe"), str) and recipe not in list_recipes():
            base["recipe"] = str(path.parent / recipe)
    return tables


def load_study(name_or_path: str | Path) -> Study:
    """Read a study: a bundled one by its name, any other by its path.

    Raises: TrainingError: GSM-604 if there is none, or a field is missing, unknown or out of range.
    """
    name = str(name_or_path)
    path = FOLDER / f"{name}.toml" if name in list_studies() else Path(name_or_path)
    try:
        return Study.model_validate(_beside(path, tomllib.loads(path.read_text(encoding="utf-8"))))
    except OSError:
        raise TrainingError(
            "GSM-604", "no such study", found=name, expected=f"{', '.join(list_studies())}, or the path of a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError("GSM-604", "the study is not TOML", where=str(path), found=error) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrainingError(
            "GSM-604", "not a valid study", where=f"{path}: {where}", found=repr(first["input"]), expected=first["msg"]
        ) from None
