"""A study of two rows on a few digits: trained, measured, tabulated, and not done twice."""

import json
import shutil
from itertools import compress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gossamer.cli.app import app
from gossamer.compiler import load_checkpoint
from gossamer.hwmodels import GossamerError
from gossamer.report.study import study_page
from gossamer.studies import load_records, of_study, reproduce, write_recipes
from gossamer.training import load_recipe, run_recipe
from gossamer.training.studies import list_studies, load_study, rows_of

RECIPE = """
[recipe]
name = "tiny"
threads = 1
[data]
name = "digits"
limit = 120
[validation]
fraction = 0.2
limit = 10
attack_steps = 1
[model]
channels = [4, "A"]
hidden = [8]
[dense]
epochs = 2
optimizer = "adam"
lr = 0.01
[dense.robust]
beta = 1.0
eps = 0.1
steps = 1
[prune]
method = "hydra"
density = 0.5
epochs = 1
[finetune]
epochs = 1
lr = 0.01
[convert]
n_steps = 2
steps = 3
batches = 1
[snn]
epochs = 1
lr = 0.01
[snn.robust]
beta = 1.0
eps = 0.1
attack = "rfgsm"
"""
STUDY = """
name = "two-rows"
title = "Two rows"
seeds = [0, 1]
densities = [0.5]
methods = ["hydra"]
[measure]
attacked = 20
pgd_steps = 2
ensemble_steps = 1
audited = 10
audit_steps = [1, 2, 3]
queries = 3
[[base]]
recipe = "{recipe}"
eps = [0.1]
"""


COMMITTED = Path(__file__).parents[2] / "docs" / "explanation" / "studies"
ROWS = ["tiny-dense", "tiny-hydra-50"]


def as_text(record):
    return json.dumps(record, sort_keys=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "two.toml").write_text(STUDY.format(recipe=folder / "tiny.toml"))
    return folder / "two.toml"


@pytest.fixture(scope="module")
def done(study, tmp_path_factory):
    """Folder and records of a whole run."""
    out = tmp_path_factory.mktemp("out")
    return out, reproduce(study, out=out)


def test_there_is_a_record_for_every_row_and_seed(done):
    _, records = done
    assert [(r["seed"], r["row"]) for r in records] == [(seed, row) for seed in (0, 1) for row in ("dense", "hydra-50")]
    for record in records:
        assert record["base"] == "tiny"
        for eps in ("0.1",):
            assert 0 <= record["ensemble"][eps] <= record["pgd"][eps]
            assert record["and_square"][eps] <= record["ensemble"][eps] <= record["clean_attacked"]
            assert len(record["estimators"][eps]) == 19
        parts = record["energy_pj"]["45 nm, with memory"]
        assert parts["total"] == pytest.approx(parts["synapses"] + parts["multiplies"] + parts["neurons"])
        assert parts["neurons"] == pytest.approx(records[0]["energy_pj"]["45 nm, with memory"]["neurons"], rel=0.01)
        arithmetic = record["energy_pj"]["45 nm, arithmetic"]
        assert arithmetic["synapses"] == pytest.approx(0.9 * record["synaptic_ops"], rel=0.01)
        assert arithmetic["multiplies"] == pytest.approx(4.6 * record["macs"], rel=0.01)
        assert record["weights"] <= record["density"] * record["all_weights"] + 3
        assert set(record["audit"]["findings"]) >= {"gradient", "iterative", "steps"}


def test_rows_share_a_dense_network_and_are_what_their_whole_recipes_give(study, done, tmp_path):
    out, _ = done
    runs = out / "runs" / "tiny-seed0"
    assert sorted(p.name for p in runs.iterdir()) == ["dense", "hydra-50", "shared"]
    plan = load_study(study)
    (row,) = [r for r in plan.rows(plan.base[0], 0) if r.kind == "hydra-50"]
    whole = load_checkpoint(run_recipe(row.recipe, out_dir=tmp_path).final)
    shared = load_checkpoint(runs / "hydra-50" / "5-robust-snn.safetensors")
    for a, b in zip(whole.connections, shared.connections, strict=True):
        for m, n in zip(a.maps, b.maps, strict=True):
            np.testing.assert_array_equal(getattr(m, "weight", 0), getattr(n, "weight", 0))


def test_what_is_done_is_kept_and_what_depends_on_something_else_is_made_anew(study, done, tmp_path):
    out, records = tmp_path / "copy", done[1]
    shutil.copytree(done[0], out)
    paths = sorted((out / "records").glob("*.json"))
    times = [path.stat().st_mtime_ns for path in paths]
    assert reproduce(study, out=out) == records
    assert [path.stat().st_mtime_ns for path in paths] == times
    changed = tmp_path / "changed.toml"
    changed.write_text(study.read_text().replace("attacked = 20", "attacked = 10"))
    (again,) = reproduce(changed, out=out, rows=["dense"], seeds=[1])
    assert again["n_attacked"] == 10
    is_other = [path.name != "tiny-dense-seed1.json" for path in paths]
    assert [path.stat().st_mtime_ns for path in paths] != times
    assert [path.stat().st_mtime_ns for path in compress(paths, is_other)] == list(compress(times, is_other))


def test_only_records_of_the_study_as_it_is_are_tabulated(study, done, tmp_path):
    out, records = tmp_path / "copy", done[1]
    shutil.copytree(done[0], out)
    assert of_study(load_study(study), [*records, *records, {**records[0], "base": "other"}]) == records
    other = [{**records[0], "data_sha256": "f" * 64}, {**records[1], "versions": {"torch": "9"}}]
    assert of_study(load_study(study), [*other, *records]) == records
    changed = tmp_path / "changed.toml"
    for old, new in (("attacked = 20", "attacked = 30"), ("eps = [0.1]", "eps = [0.1, 0.2]")):
        changed.write_text(study.read_text().replace(old, new))
        result = CliRunner().invoke(app, ["reproduce", str(changed), "--out", str(out), "--table"])
        assert (result.exit_code, "4 records left out" in result.output) == (0, True)
        assert "no records yet" in result.output


def test_what_another_run_has_recorded_is_not_made_again(study, done, tmp_path):
    out, records = done
    found = reproduce(
        study, out=tmp_path, known=load_records([out / "records" / f"{n}-seed0.json" for n in ROWS]), seeds=[0]
    )
    assert found == [r for r in records if r["seed"] == 0]
    assert not list(tmp_path.iterdir())
    lines = tmp_path / "records.jsonl"
    lines.write_text("".join(as_text(r) + "\n" for r in records))
    options = ["--records", str(lines), "--out", str(tmp_path / "new"), "--json"]
    result = CliRunner().invoke(app, ["reproduce", str(study), *options])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["records"] == records
    assert not (tmp_path / "new" / "runs").exists()


def test_tables_say_means_spreads_and_factors(study, done):
    _, records = done
    page = study_page(load_study(study), records)
    lines = page.splitlines()
    assert "| row | seeds | clean | int8 | PGD 0.1 | ensemble 0.1 | + Square 0.1 | shipped 0.1 | audit |" in lines
    dense = [line for line in lines if line.startswith("| dense ")]
    clean = [100 * r["clean"] for r in records if r["row"] == "dense"]
    assert f"| dense | 2 | {sum(clean) / 2:.1f} ± " in dense[0]
    assert "| 1 |" in dense[1], "the dense network is once as large as itself"
    assert "digits, 120 training images, of which 20 % choose epochs" in page


def test_rows_are_compared_with_end_to_end_training_of_the_same_seed(study, done):
    _, records = done
    plan = load_study(study)
    sparse = [r for r in records if r["row"] == "hydra-50"]
    better = {0: 0.02, 1: -0.01}
    scratch = [
        {**r, "row": "end-to-end-50", "method": "end-to-end", "clean": r["clean"] - better[r["seed"]]} for r in sparse
    ]
    page = study_page(plan, [*records, *scratch])
    assert "| row | clean | ensemble 0.1 |" in page
    assert "| hydra-50 | +0.5 ± 2.1 (1 / 2) | +0.0 ± 0.0 (0 / 2) |" in page
    assert "better than `end-to-end`" not in study_page(plan, records)


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_committed_table_is_what_its_records_give(path):
    study, records = load_study(path.stem), load_records([path])
    assert of_study(study, records) == records, "a record of another recipe or study"
    assert path.with_suffix(".md").read_text() == study_page(study, records)


def test_the_command_line_tabulates_records_without_training(study, done):
    out, records = done
    result = CliRunner().invoke(app, ["reproduce", str(study), "--out", str(out), "--table", "--json"])
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert sorted(map(as_text, answer["records"])) == sorted(map(as_text, records))
    assert load_records([out / "records.jsonl"]) == answer["records"]
    assert "## tiny" in (out / "table.md").read_text()


@pytest.mark.parametrize(("options", "found"), [({"rows": ["hydra-9"]}, "hydra-9"), ({"bases": ["digits"]}, "digits")])
def test_what_a_study_does_not_have_is_refused(study, tmp_path, options, found):
    with pytest.raises(GossamerError, match=rf"GSM-604.*no such.*{found}"):
        reproduce(study, out=tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_row_that_was_resumed_has_no_training_time(study, done, tmp_path):
    out, records = tmp_path / "copy", done[1]
    shutil.copytree(done[0], out)
    (out / "records" / "tiny-hydra-50-seed0.json").unlink()
    (again,) = reproduce(study, out=out, rows=["hydra-50"], seeds=[0])
    (first,) = [r for r in records if (r["row"], r["seed"]) == ("hydra-50", 0)]
    assert again["seconds"]["training"] is None
    assert first["seconds"]["training"] > 0
    timed = ("seconds", "simulation_ms")
    assert {k: v for k, v in again.items() if k not in timed} == {k: v for k, v in first.items() if k not in timed}
    assert "Training took an unknown time" in study_page(load_study(study), [again])


def test_a_row_is_a_recipe_that_train_takes(study, tmp_path):
    result = CliRunner().invoke(
        app, ["reproduce", str(study), "--recipes", "--row", "hydra-50", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    paths = sorted((tmp_path / "recipes").iterdir())
    assert [path.name for path in paths] == ["tiny-hydra-50-seed0.toml", "tiny-hydra-50-seed1.toml"]
    plan = load_study(study)
    for seed, path in enumerate(paths):
        (row,) = [r for r in plan.rows(plan.base[0], seed) if r.kind == "hydra-50"]
        assert load_recipe(path).sha256() == row.recipe.sha256()
    assert not (tmp_path / "records").exists()


def test_rows_of_bundled_studies_are_recipes_when_written(tmp_path):
    for name in list_studies():
        study = load_study(name)
        for path in write_recipes(study, tmp_path / name, seeds=[0]):
            assert load_recipe(path).to_dict() == load_recipe(path).with_seed(0).to_dict()
        assert len(list((tmp_path / name).iterdir())) == sum(len(study.rows(base, 0)) for base in study.base)


def test_a_recipe_is_looked_for_beside_its_study(study, tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    shutil.copy(study.parent / "tiny.toml", tmp_path / "recipes" / "tiny.toml")
    (tmp_path / "two.toml").write_text(STUDY.format(recipe="recipes/tiny.toml"))
    monkeypatch.chdir(tmp_path / "recipes")
    assert load_study("../two.toml").base[0].name == "tiny"


def test_rows_of_a_base_whose_spiking_stage_is_natural_are_recipes(tmp_path):
    natural = RECIPE[: RECIPE.index("[snn.robust]")].replace(
        "[validation]\nfraction = 0.2\nlimit = 10\nattack_steps = 1\n", ""
    )
    (tmp_path / "natural.toml").write_text(natural)
    rows = rows_of(
        load_recipe(tmp_path / "natural.toml"), densities=[0.5], methods=["end-to-end", "end-to-end-pgd", "hydra"]
    )
    assert [row.recipe.validation.choose_by for row in rows] == ["robust"] * 4
    assert rows[1].recipe.snn.robust is None
    assert rows[2].recipe.snn.robust == rows[3].recipe.dense.robust


def test_a_table_has_all_rows(study):
    result = CliRunner().invoke(app, ["reproduce", str(study), "--table", "--row", "dense"])
    assert "GSM-702" in str(result.exception)


def test_a_file_has_no_scale(study):
    result = CliRunner().invoke(app, ["reproduce", str(study), "--scale", "full"])
    assert "GSM-702" in str(result.exception)


def test_bundled_studies_are_whole():
    for name in list_studies():
        study = load_study(name)
        assert study.name == name
        for base in study.base:
            assert load_recipe(base.recipe).name == base.name
            tables = [study, *study.extra]
            assert len(study.rows(base, 0)) == 1 + sum(len(t.densities) * len(t.methods) for t in tables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds = [0, 1]", "seeds = []"), "seeds"),
        (('"hydra"', '"luck"'), "methods.0"),
        (('name = "two-rows"', 'name = "../out"'), "name"),
        (
            (
                "eps = [0.1]",
                'eps = [0.1]\n[[base]]\nrecipe = "digits"\neps = [0.1]\n[[base]]\nrecipe = "digits"\neps = [0.2]',
            ),
            "each base once",
        ),
        (("[measure]", "[measure"), "not TOML"),
    ],
)
def test_a_mistake_in_a_study_is_named(study, tmp_path, change, message):
    path = tmp_path / "bad.toml"
    path.write_text(study.read_text().replace(*change))
    with pytest.raises(GossamerError, match=f"GSM-604.*{message}"):
        load_study(path)


def test_a_study_that_does_not_exist_and_records_that_are_none_are_refused(tmp_path):
    with pytest.raises(GossamerError, match=r"GSM-604.*no such study.*robust-sparse-small"):
        load_study("robust-sparse-tiny")
    bad = tmp_path / "bad.jsonl"
    bad.write_text("[1]\n")
    with pytest.raises(GossamerError, match=r"GSM-105.*bad\.jsonl"):
        load_records([bad])
    bad.write_text('{"base": "tiny", "row": "dense", "seed": 0}\n')
    with pytest.raises(GossamerError, match=r"GSM-105.*bad\.jsonl, line 1.*no .*depends"):
        load_records([bad])
    with pytest.raises(GossamerError, match="GSM-101"):
        load_records([tmp_path / "missing"])
