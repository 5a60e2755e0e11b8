"""gossamer inspect."""

from dataclasses import replace

import pytest


@pytest.mark.parametrize(
    ("file", "kind", "words"),
    [
        ("net.safetensors", "checkpoint", ("conv 4x3x3x3", "batch norm", "subtract", "T = 8")),
        ("net.graph", "graph", ("shared", "2x2", "unrolled")),
        ("net8.graph", "graph", ("int8", "weight_bits", "4096")),
        ("run", "activity", ("12 samples", "recorded spikes: conv2")),
    ],
)
def test_inspect_says_what_a_file_is(gossamer, files, file, kind, words):
    answer = gossamer("inspect", files / file)
    assert answer.status == 0
    assert f"{kind}, format version {2 if kind == 'checkpoint' else 1}" in answer.out
    assert "checked" in answer.out
    for word in words:
        assert word in answer.out
    facts = gossamer("inspect", files / file, "--json").json
    assert facts["kind"] == kind
    assert facts["version"] == (2 if kind == "checkpoint" else 1)
    assert len(facts["sha256"]) == 64


def test_inspect_shows_a_nir_file_and_which_convention_it_leaves_open(gossamer, judges):
    answer = gossamer("inspect", judges / "norse_dense.nir")
    assert answer.status == 0
    assert "nir" in answer.out
    assert "leaves a convention open" in answer.out
    facts = gossamer("inspect", judges / "norse_dense.nir", "--json").json
    assert facts["open"]["code"] in ("GSM-303", "GSM-305")
    assert all("reset" not in p and "threshold" not in p for p in facts["populations"])


def test_inspect_shows_an_unfinished_training_run(gossamer, tmp_path):
    import numpy as np

    from gossamer.compiler import write_container

    write_container("state", "training-state", 1, {"state": {"stage": "dense", "epoch": 3}}, {"model/w": np.ones(4)})
    answer = gossamer("inspect", "state")
    assert answer.status == 0
    assert "training-state" in answer.out
    assert "model/w" in answer.out
    assert gossamer("inspect", "state", "--json").json["header"]["state"]["epoch"] == 3


def test_numbers_that_json_lacks_become_null(gossamer, small_network):
    import gossamer as api

    api.save_checkpoint(replace(small_network, metadata={"loss": float("nan"), "all": [float("inf"), 1.5]}), "odd")
    metadata = gossamer("inspect", "odd", "--json").json["metadata"]
    assert metadata["loss"] is None
    assert metadata["all"] == [None, 1.5]
