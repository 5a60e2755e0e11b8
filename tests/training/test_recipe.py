"""Recipes: every bundled one is whole, and a mistake is named with its field."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from gossamer.training import MODELS, TrainingError, list_recipes, load_recipe
from gossamer.training.augment import Augmentation
from gossamer.training.recipe import (
    About,
    Convert,
    Data,
    Finetune,
    Harp,
    Hydra,
    Like,
    Magnitude,
    Model,
    Random,
    Rewire,
    Robust,
    Snn,
    Validation,
    parse_recipe,
)
from gossamer.training.surrogates import SurrogateName

SMALLEST = """
[recipe]
name = "mine"
[data]
name = "digits"
[dense]
epochs = 2
[prune]
method = "magnitude"
density = 0.5
[finetune]
epochs = 2
[convert]
[snn]
epochs = 2
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_recipe(path)


@pytest.mark.parametrize("name", list_recipes())
def test_a_bundled_recipe_is_whole_and_named_as_its_file(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.recipe.description
    assert parse_recipe(recipe.to_dict(), where="again") == recipe


def test_the_bundled_recipes_are_the_promised_ones():
    assert set(list_recipes()) >= {"digits", "digits-natural", "mnist-conv", "cifar10-vgg16", "cifar10-small"}


def test_the_baseline_differs_from_the_digits_in_training_alone():
    robust, natural = load_recipe("digits"), load_recipe("digits-natural")
    assert robust.model == natural.model
    assert robust.data == natural.data
    assert robust.convert == natural.convert
    assert robust.prune.density == natural.prune.density == 0.1
    assert robust.snn.robust is not None
    assert all(getattr(natural, stage).robust is None for stage in ("dense", "finetune", "snn"))


def test_the_smallest_recipe_gets_the_defaults_of_the_method(tmp_path):
    recipe = load(tmp_path, SMALLEST)
    assert (recipe.convert.n_steps, recipe.convert.percentile, recipe.convert.scale) == (8, 99.7, 0.3)
    assert (recipe.snn.surrogate, recipe.snn.surrogate_width) == ("triangle", 1.0)


def test_residual_networks_take_a_width(tmp_path):
    recipe = load(tmp_path, SMALLEST.replace("[finetune]", '[model]\nbuilder = "wrn16-4"\nwidth = 4\n[finetune]', 1))
    assert (recipe.model.builder, recipe.model.options()) == ("wrn16-4", {"width": 4})


def test_pixels_may_be_written_as_fractions(tmp_path):
    recipe = load(tmp_path, SMALLEST + '[snn.robust]\nattack = "rfgsm"\nbeta = 2\neps = "8/255"\nalpha = "1/255"\n')
    assert recipe.snn.robust.eps == 8 / 255
    assert recipe.snn.robust.beta == 2.0


@pytest.mark.parametrize(
    ("old", "new", "field", "found", "expected"),
    [
        ("epochs = 2", "epochs = 0", "dense.epochs", "0", "greater than or equal to 1"),
        ("epochs = 2", "epochs = '2'", "dense.epochs", "'2'", "integer"),
        ("epochs = 2", "epoch = 2", "dense.epoch", "2", "no such field"),
        ("density = 0.5", "density = 0.0", "prune.density", "0.0", "greater than 0"),
        ("density = 0.5", "density = 1.5", "prune.density", "1.5", "less than or equal to 1"),
        ("density = 0.5", "density = nan", "prune.density", "nan", ""),
        ("density = 0.5", "density = 0.5\nlr = 0.1", "prune.lr", "0.1", "no such field"),
        ('"magnitude"', '"luck"', "prune", "luck", "'hydra', 'harp', 'magnitude', 'random', 'like'"),
        ('[finetune]\nepochs = 2\n', "[finetune]\n", "finetune.epochs", "nothing", "required"),
        ("[convert]\n", "", "recipe", "", "snn needs convert"),
        ("density = 0.5", 'density = 0.5\npattern = "rows"', "prune.pattern", "'rows'", "pattern"),
        ("density = 0.5", 'density = 0.5\npattern = "2:3"', "prune", "", "2:3 keeps 0.66667"),
        ("density = 0.5", 'density = 0.5\npattern = "3:2"', "prune", "", "3 of 2"),
        ("density = 0.5", 'density = 0.5\npattern = "channels"\nscope = "network"', "prune", "", "by layer"),
        ("[convert]", "[finetune.rewire]\nevery = 0\n[convert]", "finetune.rewire.every", "0", "greater than"),
        ("[convert]", "[dense.robust]\nloss = 'trades'\neps = 0.1\n[convert]", "dense.robust", "", "needs a beta"),
        ("[convert]", "[dense.robust]\nloss = 'pgd-at'\nbeta = 1.0\neps = 0.1\n[convert]", "dense.robust", "", "no b"),
        ('name = "digits"', 'name = "digits"\naugment = "blur"', "data.augment", "'blur'", "'crop'"),
        ('name = "mine"', 'name = "../mine"', "recipe.name", "'../mine'", "pattern"),
        ("[finetune]", "[typo]\nx = 1\n[finetune]", "typo", "{'x': 1}", "no such field"),
        ("[finetune]", '[model]\nbuilder = "vgg5"\nhidden = [3]\n[finetune]', "model", "vgg5", "does not take hidden"),
        ("[finetune]", '[model]\nbuilder = "vgg16"\nwidth = 4\n[finetune]', "model", "vgg16", "does not take width"),
        ("[finetune]", '[model]\nbuilder = "wrn16-4"\nwidth = 0\n[finetune]', "model.width", "0", "greater than"),
        ("[finetune]", '[model]\nchannels = [8, "B"]\n[finetune]', "model.channels.1", "'B'", ""),
        ("[finetune]", "[snn.robust]\nbeta = 1.0\neps = 0.1\nalpha = 0.2\n[finetune]", "snn.robust", "", "alpha"),
        ("[finetune]", "[snn.robust]\nbeta = 1.0\neps = '8/0'\n[finetune]", "snn.robust.eps", "'8/0'", "number"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_field(tmp_path, old, new, field, found, expected):
    with pytest.raises(TrainingError, match="GSM-604") as caught:
        load(tmp_path, SMALLEST.replace(old, new, 1))
    error = caught.value
    assert error.where == f"{tmp_path / 'mine.toml'}: {field}"
    assert found in error.found
    assert expected in error.expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs = 2\n[prune]", "epochs = 2\noptimizer = 'adam'\nmomentum = 0.5\n[prune]", "no momentum"),
        ('"digits"', '"digits"\naugment = "none"\npad = 1', "no pad"),
        ('"digits"', '"digits"\naugment = "resized-crop-flip"\npad = 1', "no pad"),
        ('"digits"', '"digits"\naugment = "crop"', "needs a pad"),
        ("[prune]", "[dense.robust]\neps = 0.1\nbeta = 1.0\nalpha = 0.1\n[prune]", "no alpha"),
        ("[prune]", '[dense.robust]\neps = 0.1\nbeta = 1.0\nattack = "rfgsm"\nsteps = 3\n[prune]', "no steps"),
        ("[prune]", '[dense.robust]\neps = 0.1\nbeta = 1\nattack = "rfgsm"\nstart = "normal"\n[prune]', "no start"),
        ("[convert]", "[convert]\nthreshold = 1.0\nscale = 0.5", "no scale"),
        ("[snn]", "[snn]\nmin_threshold = 0.1", "no min_threshold"),
        ("[snn]", '[snn]\nsurrogate = "straight-through"\nsurrogate_width = 2.0', "no surrogate_width"),
        ("[data]", "[validation]\nattack_steps = 5\n[data]", "no validation.attack_steps"),
        ("[snn]\nepochs = 2\n", "", None),
    ],
)  # fmt: skip
def test_a_field_that_would_do_nothing_is_refused(tmp_path, old, new, expected):
    text = SMALLEST.replace(old, new, 1)
    assert text != SMALLEST
    if expected is None:  # the last case takes the spiking stage away, which compiling is for
        text = text.replace("[data]", "compile = true\n[data]", 1)
        expected = "no recipe.compile"
    with pytest.raises(TrainingError) as caught:
        load(tmp_path, text)
    assert caught.value.code == "GSM-604"
    assert expected in caught.value.expected


@pytest.mark.parametrize("name", list_recipes())
def test_what_a_recipe_says_of_itself_is_the_same_recipe(name):
    recipe = load_recipe(name)
    again = parse_recipe(recipe.to_dict(), where="dump")
    assert again.sha256() == recipe.sha256()
    assert again.to_dict() == recipe.to_dict()


def test_an_unknown_key_is_named_before_all_other_mistakes(tmp_path):
    with pytest.raises(TrainingError, match="1 more mistakes") as caught:
        load(tmp_path, SMALLEST.replace("epochs = 2", "epochs = 0", 1) + "leraning_rate = 1\n")
    assert caught.value.where.endswith("snn.leraning_rate")


@pytest.mark.parametrize(
    ("name", "remedy"), [("digit", "did you mean 'digits'?"), ("nothing-like-it", ""), ("no/such/file.toml", "")]
)
def test_a_missing_recipe_is_refused(name, remedy):
    with pytest.raises(TrainingError, match=r"GSM-604.*no such recipe") as caught:
        load_recipe(name)
    assert "digits" in caught.value.expected
    assert caught.value.remedy == remedy


@pytest.mark.parametrize("content", [b"[recipe\n", b"\xff\xfe", b""])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="GSM-604") as caught:
        load_recipe(path)
    assert str(path) in caught.value.where


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(TrainingError, match="GSM-604"):
        load_recipe(tmp_path)


def test_the_digest_covers_everything_but_the_description(tmp_path):
    recipe = load(tmp_path, SMALLEST)
    described = load(tmp_path, SMALLEST.replace('name = "mine"', 'name = "mine"\ndescription = "words"'))
    longer = load(tmp_path, SMALLEST.replace("epochs = 2", "epochs = 3", 1))
    assert recipe.sha256() == described.sha256()
    assert len({recipe.sha256(), longer.sha256(), recipe.with_seed(1).sha256()}) == 3


def test_another_seed_is_another_recipe_and_a_bad_one_is_refused(tmp_path):
    recipe = load(tmp_path, SMALLEST)
    assert recipe.with_seed(7).seed == 7
    assert recipe.seed == 0
    with pytest.raises(TrainingError, match="GSM-604"):
        recipe.with_seed(-1)


def test_the_choices_of_a_recipe_are_those_of_the_code():
    def choices(model, field):
        return set(get_args(model.model_fields[field].annotation))

    assert choices(Model, "builder") == set(MODELS)
    assert choices(Snn, "surrogate") == set(get_args(SurrogateName))
    assert choices(Data, "augment") == set(get_args(Augmentation))


@pytest.mark.parametrize(
    "table",
    [About, Convert, Data, Hydra, Magnitude, Model, Snn, Robust, Rewire, Harp, Random, Like, Finetune, Validation],
)
def test_the_reference_page_lists_every_field(table):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "recipes.md").read_text()
    assert set(table.model_fields) <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


@pytest.mark.parametrize(
    "names", ["list_recipes, load_recipe, Recipe", "load_dataset, Dataset", "TrainingError, Progress"]
)
def test_recipes_data_and_errors_need_no_torch(names):
    code = f"import sys; sys.modules['torch'] = None; from gossamer.training import {names}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_public_name_is_an_attribute_error():
    import gossamer.training

    with pytest.raises(AttributeError, match="nonsense"):
        gossamer.training.nonsense  # noqa: B018
    assert all(hasattr(gossamer.training, name) for name in dir(gossamer.training))
