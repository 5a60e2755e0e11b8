"""Recipes: TOML files that say everything a training run depends on. docs/reference/recipes.md lists the fields."""

import difflib
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from .errors import TrainingError

FOLDER = Path(__file__).parent / "recipes"


def _fraction(value: Any) -> Any:
    """ "8/255" as a number; anything else as it is."""
    if isinstance(value, str) and value.count("/") == 1:
        try:
            numerator, denominator = (float(part) for part in value.split("/"))
            return numerator / denominator
        except (ValueError, ZeroDivisionError):
            return value
    return value


Stage = Literal["dense", "prune", "finetune", "convert", "snn"]
STAGE_NAMES: tuple[Stage, ...] = get_args(Stage)
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
PATTERN = r"^(free|channels|kernels|[1-9][0-9]{0,2}:[1-9][0-9]{0,2}|[1-9][0-9]{0,2}x[1-9][0-9]{0,2})$"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Pixel = Annotated[float, BeforeValidator(_fraction), Field(gt=0, le=1)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(strict=False)]
Channels = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65535)] | Literal["A"], ...], Field(strict=False, min_length=1, max_length=200)
]


class Table(BaseModel):
    """A table of a recipe: keys that are unknown, or do nothing, are refused; numbers are not made from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def idle(self) -> dict[str, str]:
        """Fields that do nothing beside the others as they are, and why. Who gives one believes in something else."""
        return {}

    @model_validator(mode="after")
    def _gives_nothing_idle(self) -> Self:
        for name, why in self.idle().items():
            if name in self.model_fields_set:
                raise ValueError(f"no {name}, which does nothing {why}")
        return self

    @model_serializer(mode="wrap")
    def _without_idle(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name not in self.idle()}


class About(Table):
    """[recipe]. threads: torch's, part of the recipe because sums depend on how they are split.

    precision: of convolutions and matrix products in a training step; "bf16" and "16" are mixed, the rest is float32.
    compile: torch.compile for neurons that no fused kernel of ours steps: on a GPU, all.
    goal: clean accuracy that the trained SNN should reach on test data; `gossamer demo` checks it.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=80)]
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    precision: Literal["32", "bf16", "16"] = "32"
    compile: bool = False
    goal: Annotated[float, Field(gt=0, le=1)] | None = None


class Data(Table):
    """[data]. limit: use at most so many training images. pad: pixels of the random crop."""

    name: Annotated[str, Field(min_length=1)]
    limit: Annotated[int, Field(ge=2)] | None = None
    augment: Literal["none", "crop", "crop-flip", "resized-crop-flip"] = "none"
    pad: Annotated[int, Field(ge=0, le=64)] = 0

    def idle(self) -> dict[str, str]:
        """Only crops that move have room to move in."""
        moves = self.augment in ("crop", "crop-flip")
        return {} if moves else {"pad": f"with augment {self.augment!r}"}

    @model_validator(mode="after")
    def _crops_move(self) -> Self:
        if self.augment == "crop" and not self.pad:
            raise ValueError("augment 'crop' needs a pad: by up to so many pixels it moves")
        return self


class Validation(Table):
    """[validation]: the part of the training set that chooses the epoch. limit: attack at most so many images.

    choose_by: where training is adversarial, the epoch with the highest "robust" accuracy, or the highest "mean" of
    robust and clean, which few images determine better.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    limit: Annotated[int, Field(ge=1)] | None = None
    attack_steps: Annotated[int, Field(ge=1, le=10_000)] = 10
    choose_by: Literal["robust", "mean"] = "robust"


class Model(Table):
    """[model]. The VGGs take no sizes; hidden also serves the mlp; width is of the residual networks.

    checkpoint: a network to start from, instead of a new one.
    """

    builder: Literal[
        "mlp", "convnet", "vgg5", "vgg11", "vgg11-tin", "vgg16", "resnet20", "resnet32", "wrn16-4", "wrn28-4"
    ] = "convnet"
    channels: Channels | None = None
    hidden: Sizes | None = None
    kernel: Literal[1, 3, 5, 7] | None = None
    batch_norm: bool | None = None
    width: Annotated[int, Field(ge=1, le=1024)] | None = None
    checkpoint: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _sizes_fit_builder(self) -> "Model":
        takes = {"mlp": {"hidden", "batch_norm"}, "convnet": {"channels", "hidden", "kernel", "batch_norm"}}
        takes |= {name: {"width"} for name in ("resnet20", "resnet32", "wrn16-4", "wrn28-4")}
        if self.checkpoint is not None and (self.options() or self.builder != "convnet"):
            raise ValueError("a checkpoint says all about the model: no other field belongs here")
        surplus = set(self.options()) - takes.get(self.builder, set())
        if surplus:
            raise ValueError(f"builder {self.builder!r} does not take {', '.join(sorted(surplus))}")
        return self

    def options(self) -> dict[str, Any]:
        """The sizes that are given."""
        return {k: v for k, v in self.model_dump(exclude={"builder", "checkpoint"}).items() if v is not None}


class Robust(Table):
    """[STAGE.robust]: adversarial training; without this table a stage trains on clean images.

    loss: what is minimised over what the attack finds: "trades", "pgd-at" or "mart"; beta is the weight of its second
    part, which pgd-at has not. attack: "pgd" (steps, step_size, start), "rfgsm" (alpha) or "fgsm"; it climbs the KL
    divergence for TRADES, else the cross-entropy.
    """

    loss: Literal["trades", "pgd-at", "mart"] = "trades"
    beta: NotNegative | None = None
    eps: Pixel
    attack: Literal["pgd", "rfgsm", "fgsm"] = "pgd"
    steps: Annotated[int, Field(ge=1, le=1000)] = 10
    step_size: Pixel | None = None
    start: Literal["uniform", "normal", "clean"] | None = None
    alpha: Pixel | None = None

    def idle(self) -> dict[str, str]:
        """What other attacks have."""
        has = {"pgd": {"steps", "step_size", "start"}, "rfgsm": {"alpha"}, "fgsm": set()}[self.attack]
        return dict.fromkeys(sorted({"steps", "step_size", "start", "alpha"} - has), f"with attack {self.attack!r}")

    @model_validator(mode="after")
    def _fields_fit_each_other(self) -> "Robust":
        if self.alpha is not None and self.alpha > self.eps:
            raise ValueError(f"alpha {self.alpha} is larger than eps {self.eps}")
        if (self.beta is None) != (self.loss == "pgd-at"):
            raise ValueError(f"loss {self.loss!r} {'needs a beta' if self.beta is None else 'has no beta'}")
        if self.loss == "trades" and (self.start == "clean" or self.attack == "fgsm"):
            raise ValueError("the KL divergence has no gradient at the clean image: start elsewhere")
        return self


class Rewire(Table):
    """[finetune.rewire], [snn.rewire]: the mask changes while weights train, its density stays (RigL, SET).

    every: batches. fraction: of a layer's weights, at the beginning; it goes down a cosine to 0 at `until`, a share of
    the stage's batches. grow: where the gradient is largest, or at random.
    """

    every: Annotated[int, Field(ge=1)] = 100
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    until: Annotated[float, Field(gt=0, le=1)] = 0.75
    grow: Literal["gradient", "random"] = "gradient"


class Fit(Table):
    """What every trained stage has: [dense]."""

    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=2, le=65536)] = 64
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: Positive = 0.1
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 5e-4
    cutout: Annotated[int, Field(ge=0, le=1024)] = 0
    robust: Robust | None = None

    def idle(self) -> dict[str, str]:
        """What the other optimizer has."""
        return {"momentum": "with optimizer 'adam'"} if self.optimizer == "adam" else {}


class Finetune(Fit):
    """[finetune]: the weights that are left."""

    rewire: Rewire | None = None


class Masked(Table):
    """What ways to prune have in common: the share of weights to keep, and which of them are kept together."""

    density: Annotated[float, Field(gt=0, le=1)]
    pattern: Annotated[str, Field(pattern=PATTERN)] = "free"

    @model_validator(mode="after")
    def _pattern_keeps_density(self) -> Self:
        if ":" in self.pattern:
            n, m = (int(part) for part in self.pattern.split(":"))
            if n > m:
                raise ValueError(f"pattern {self.pattern!r} keeps {n} of {m}")
            if abs(n / m - self.density) > 1e-9:
                raise ValueError(
                    f"pattern {self.pattern} keeps {n / m:.5g} of the weights, density says {self.density}"
                )
        return self


class Hydra(Masked, Fit):
    """[prune] with method = "hydra": train scores; every layer keeps the same share."""

    method: Literal["hydra"]


class Harp(Masked, Fit):
    """[prune] with method = "harp": train scores and each layer's share.

    initial: share of every layer at the beginning. penalty: weight, growing with every epoch, of what there is beyond
    `density` in all.
    """

    method: Literal["harp"]
    initial: Annotated[float, Field(gt=0, le=1)] = 0.1
    penalty: Positive = 0.01

    @model_validator(mode="after")
    def _begins_above_the_least(self) -> Self:
        if ":" in self.pattern:
            raise ValueError(f"pattern {self.pattern!r} leaves no shares to learn")
        if not self.initial > 0.1 * self.density:
            raise ValueError(f"initial {self.initial} is not above a tenth of density {self.density}")
        return self


class Magnitude(Masked):
    """[prune] with method = "magnitude": keep the largest weights of each layer, or of the whole network."""

    method: Literal["magnitude"]
    scope: Literal["layer", "network"] = "layer"

    @model_validator(mode="after")
    def _groups_are_of_a_layer(self) -> Self:
        if self.scope == "network" and self.pattern != "free":
            raise ValueError(f"pattern {self.pattern!r} is compared by layer alone, not with scope 'network'")
        return self


class Random(Masked):
    """[prune] with method = "random": the same share of every layer, or more of small layers (Erdős-Rényi)."""

    method: Literal["random"]
    spread: Literal["uniform", "erdos-renyi"] = "uniform"


class Like(Table):
    """[prune] with method = "like": the masks of another checkpoint."""

    method: Literal["like"]
    checkpoint: Annotated[str, Field(min_length=1)]


FOR_ATTACKS = ("limit", "attack_steps", "choose_by")  # fields of [validation] for adversarial stages alone
MEASURING = ("percentile", "scale", "steps")  # fields of [convert] that say how thresholds are measured


class Convert(Table):
    """[convert]: thresholds from `batches` batches run for `steps` steps, then T = n_steps.

    threshold: the same for every population, instead of measured ones. biases: give every layer one, 0 at first.
    """

    n_steps: Annotated[int, Field(ge=1, le=10_000)] = 8
    threshold: Positive | None = None
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.7
    scale: Positive = 0.3
    batches: Annotated[int, Field(ge=1)] = 11
    batch_size: Annotated[int, Field(ge=2)] = 64
    steps: Annotated[int, Field(ge=1)] = 100
    reset: Literal["zero", "subtract"] = "zero"
    leak: Annotated[float, Field(gt=0, le=1)] = 1.0
    biases: bool = False

    def idle(self) -> dict[str, str]:
        """What thresholds are measured with, where they are given."""
        return {} if self.threshold is None else dict.fromkeys(MEASURING, "beside threshold: none is measured")


class Snn(Finetune):
    """[snn]: training of the spiking network. min_threshold: trained thresholds are kept above it.

    low_memory: layers are computed again in the backward pass instead of kept.
    """

    surrogate: Literal["triangle", "arctan", "rectangular", "exponential", "straight-through"] = "triangle"
    surrogate_width: Positive = 1.0
    detach_reset: bool = False
    train_thresholds: bool = False
    min_threshold: Positive = 0.03
    low_memory: bool = False

    def idle(self) -> dict[str, str]:
        """What thresholds that stay, and a surrogate without a width, have no use for."""
        found = super().idle()
        if not self.train_thresholds:
            found["min_threshold"] = "without train_thresholds"
        if self.surrogate == "straight-through":
            found["surrogate_width"] = "with surrogate 'straight-through'"
        return found


Prune = Annotated[Hydra | Harp | Magnitude | Random | Like, Field(discriminator="method")]


class Recipe(Table):
    """A whole run: the stages whose tables are there, in this order. Equal recipes on equal data give bit-identical
    checkpoints on one machine.
    """

    recipe: About
    data: Data
    validation: Validation = Validation()
    model: Model = Model()
    dense: Fit | None = None
    prune: Prune | None = None
    finetune: Finetune | None = None
    convert: Convert | None = None
    snn: Snn | None = None

    @model_validator(mode="after")
    def _stages_fit_each_other(self) -> "Recipe":
        if not self.stages:
            raise ValueError("no stage: neither dense, prune, finetune, convert nor snn")
        if self.snn is not None and self.convert is None:
            raise ValueError("snn needs convert, which makes the network a spiking one")
        pattern = getattr(self.prune, "pattern", "free")
        for stage in (self.finetune, self.snn):
            if stage is not None and stage.rewire is not None and (self.prune is None or pattern != "free"):
                raise ValueError(f"nothing to rewire: {'no prune' if self.prune is None else f'pattern {pattern!r}'}")
        idle = sorted(self._idle_for_validation() & self.validation.model_fields_set)
        if idle:
            raise ValueError(f"no validation.{idle[0]}, which does nothing where no stage is adversarial")
        if self.recipe.compile and self.snn is None:
            raise ValueError("no recipe.compile without snn: it is for spiking neurons")
        return self

    @model_serializer(mode="wrap")
    def _without_idle(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tables: dict[str, Any] = dump(self)
        for name in self._idle_for_validation():
            tables.get("validation", {}).pop(name, None)
        return tables

    def _idle_for_validation(self) -> set[str]:
        stages = (self.dense, self.prune, self.finetune, self.snn)
        attacked = any(isinstance(stage, Fit) and stage.robust is not None for stage in stages)
        return set() if attacked else set(FOR_ATTACKS)

    @property
    def stages(self) -> list[Stage]:
        """Those that it has, in order."""
        return [stage for stage in STAGE_NAMES if getattr(self, stage) is not None]

    @property
    def files(self) -> list[str]:
        """Files that it depends on."""
        masks = self.prune.checkpoint if isinstance(self.prune, Like) else None
        return [path for path in (self.model.checkpoint, masks) if path is not None]

    @property
    def trains_robustly(self) -> bool:
        """True if its last trained stage is adversarial."""
        fitted = [f for f in (self.dense, self.prune, self.finetune, self.snn) if isinstance(f, Fit)]
        return bool(fitted) and fitted[-1].robust is not None

    @property
    def name(self) -> str:
        """Its name."""
        return self.recipe.name

    @property
    def seed(self) -> int:
        """What every random choice of the run comes from."""
        return self.recipe.seed

    def with_seed(self, seed: int) -> "Recipe":
        """The same recipe with another seed."""
        tables = self.to_dict()
        return parse_recipe({**tables, "recipe": {**tables["recipe"], "seed": seed}}, where=self.name)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without what is not set and what does nothing."""
        return self.model_dump(mode="json", exclude_none=True)

    def sha256(self) -> str:
        """Digest of all that it says but description, goal, and where files lie: their contents count as data."""
        words: dict[str, Any] = {"recipe": {"description", "goal"}, "model": {"checkpoint"}, "prune": {"checkpoint"}}
        fields = self.model_dump(mode="json", exclude=words)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def list_recipes() -> tuple[str, ...]:
    """The bundled recipes."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe: a bundled one by its name, any other by its path.

    Raises: TrainingError: GSM-604 if there is none, it is no TOML, or a field is missing, unknown or out of range.
    """
    name = str(name_or_path)
    bundled = name in list_recipes()
    path = FOLDER / f"{name}.toml" if bundled else Path(name_or_path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        closest = difflib.get_close_matches(name, list_recipes(), n=1)
        raise TrainingError(
            "GSM-604",
            "no such recipe",
            found=name,
            expected=f"{', '.join(list_recipes())}, or the path of a TOML file",
            remedy=f"did you mean {closest[0]!r}?" if closest else "",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError("GSM-604", "recipe cannot be read", where=str(path), found=error) from None
    except tomllib.TOMLDecodeError as error:
        raise TrainingError("GSM-604", "recipe is not TOML", where=str(path), found=error) from None
    return parse_recipe(content, where=f"recipe {name}" if bundled else str(path))


def parse_recipe(content: dict[str, Any], *, where: str) -> Recipe:
    """A recipe from its tables.

    Raises: TrainingError: GSM-604 naming the field, what was found and what was expected.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        mistakes = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        first, more = mistakes[0], len(mistakes) - 1
        branches = {
            "hydra",
            "harp",
            "magnitude",
            "random",
            "like",
            "constrained-int",
            "literal['A']",
        }  # what pydantic adds for unions
        field = ".".join(str(part) for part in first["loc"] if part not in branches) or "recipe"
        missing = first["type"] in ("missing", "union_tag_not_found")
        raise TrainingError(
            "GSM-604",
            f"not a valid recipe{f' ({more} more mistakes)' if more else ''}",
            where=f"{where}: {field}",
            found="nothing" if missing else _short(first["input"]),
            expected=_expected(first["type"], first["msg"]),
            remedy="docs/reference/recipes.md lists the fields",
        ) from None


def _expected(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "no such field"
    return message.removeprefix("Value error, ").removeprefix("Input should be ")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
