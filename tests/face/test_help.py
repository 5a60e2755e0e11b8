"""What the command line says of itself."""

import pytest
from typer.testing import CliRunner

from gossamer.cli.app import app

VERBS = ("demo", "train", "attack", "reproduce", "compile", "simulate", "energy", "inspect", "diff", "report", "doctor")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_takes_json(verb):
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output
    for line in result.output.split("Options:")[1].splitlines():
        if line.strip().startswith("-"):
            assert len(line.split()) > 1, line
    assert len(result.output.split("Options:")[0].split()) > 15, "a verb says what it is for"


def test_the_list_of_verbs_is_the_one_of_the_documentation(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "reference" / "command-line.md").read_text()
    for verb in VERBS:
        assert f"\n## {verb}\n" in page


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_the_documentation(verb, pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "reference" / "command-line.md").read_text()
    help_text = CliRunner().invoke(app, [verb, "--help"]).output
    for word in help_text.replace(",", " ").replace("/", " ").split():
        if word.startswith("--"):
            assert word in page, word


def test_a_verb_runs_under_typers_own_runner(files):
    result = CliRunner().invoke(app, ["inspect", str(files / "net.graph"), "--json"])
    assert result.exit_code == 0
    assert result.stdout.startswith("{")
