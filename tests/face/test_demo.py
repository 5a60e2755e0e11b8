"""gossamer demo on a recipe that trains in seconds: what it measures, what it checks, and when it says no."""

import json
import re

import pytest


@pytest.fixture
def natural_recipe(tiny_robust_recipe):
    """The same without adversary."""
    path = tiny_robust_recipe.parent / "natural.toml"
    text = tiny_robust_recipe.read_text().replace('"robust"', '"natural"')
    path.write_text(text[: text.index("[snn.robust]")])
    return path


def with_goal(recipe, goal):
    recipe.write_text(recipe.read_text().replace("threads = 1", f"threads = 1\ngoal = {goal}"))


def test_the_demo_measures_every_network_and_checks_what_it_says(gossamer, tiny_robust_recipe, natural_recipe):
    with_goal(tiny_robust_recipe, 0.01)
    arguments = ("demo", "--recipe", tiny_robust_recipe, "--baseline", natural_recipe, "--limit", 60, "-o", "out")
    answer = gossamer(*arguments)
    table = json.loads((tiny_robust_recipe.parent / "out" / "table.json").read_text())
    texts = [check["text"] for check in table["checks"]]
    assert answer.status == (0 if table["passed"] else 1), answer.err
    assert table["data"] == {"name": "digits", "train": 160, "test": 60}
    assert [n["name"] for n in table["networks"]] == [
        "dense ANN",
        "sparse ANN",
        "converted SNN",
        "fine-tuned SNN",
        "fine-tuned SNN, 8 bits",
        "naturally trained SNN",
    ]
    for check in table["checks"]:
        assert check["passed"] or "more robust" in check["text"], check  # seconds of training promise no robustness
    equal = [text for text in texts if "spikes equal" in text]
    assert len(equal) == 3  # reference, PyTorch, bit-parallel engine
    n_compared = 60 * 4 * (64 + 24)  # samples, steps, neurons that emit
    assert all(f"{n_compared:,} neuron-steps compared, none differs" in text for text in equal)
    assert "spike" in (tiny_robust_recipe.parent / "out" / "report.html").read_text()
    again = gossamer(*arguments)  # keeps what is trained
    assert re.sub(r"training:.*", "", again.out) == re.sub(r"training:.*", "", answer.out)


def test_the_demo_says_no_if_the_goal_is_missed(gossamer, tiny_robust_recipe):
    with_goal(tiny_robust_recipe, 1.0)
    answer = gossamer("demo", "--recipe", tiny_robust_recipe, "--limit", 60, "-o", "out", "--json")
    assert answer.status == 1
    failed = [check["text"] for check in answer.json["checks"] if not check["passed"]]
    assert [text for text in failed if "goal: 100.00 %" in text] == failed != []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--recipe", "no-such"), "GSM-604"),
        (("--recipe", "digits-natural"), "GSM-604"),  # it is the adversarial one that the demo is about
        (("--baseline", "digits"), "GSM-604"),
        (("--baseline", "cifar10-small"), "GSM-604"),
        (("--recipe", "mnist-conv", "--data", "nowhere"), "GSM-601"),
    ],
)
def test_what_the_demo_cannot_compare_is_refused_before_training(gossamer, options, code):
    answer = gossamer("demo", *options, "-o", "out")
    assert answer.status == 2
    assert code in answer.err
