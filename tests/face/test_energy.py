"""gossamer energy."""

import pytest


def test_energy_prices_a_saved_run(gossamer, files):
    answer = gossamer("energy", files / "run", "--chip", "cmos-45nm:memory-fp32", "--chip", "loihi", "--json")
    assert answer.status == 0
    reports = answer.json["energy_pj"]
    assert list(reports) == ["cmos-45nm:memory-fp32", "loihi"]
    assert "lines" not in reports["loihi"]
    assert reports["loihi"]["partial"]
    by_layer = sum(layer["pj"] for layer in reports["loihi"]["by_layer"])
    assert by_layer == pytest.approx(reports["loihi"]["total_pj"])


def test_explain_lists_every_price_with_its_source(gossamer, files):
    table = gossamer("energy", files / "run", "--chip", "loihi", "--explain").out
    assert "Davies et al. 2018, Table 2" in table
    assert "PARTIAL" in table
    lines = gossamer("energy", files / "run", "--chip", "loihi", "--explain", "--json").json["energy_pj"]["loihi"][
        "lines"
    ]
    assert all(line["source"] for line in lines)


@pytest.mark.parametrize(("chip", "caution"), [("cmos-45nm:memory-int8", True), ("cmos-45nm", False), ("loihi", False)])
def test_prices_of_another_arithmetic_get_a_caution(gossamer, files, chip, caution):
    answer = gossamer("energy", files / "run", "--chip", chip)
    assert answer.status == 0
    assert ("CAUTION: prices of int arithmetic for a run that computed in float32" in answer.out) == caution


def test_a_chip_file_of_ones_own_is_taken(gossamer, files, tmp_path):
    (tmp_path / "mine.toml").write_text(
        """
name = "mine"
description = "a chip for a test"
source = "invented"
default_price_list = "flat"
[price_lists.flat]
label = "flat"
description = "everything that is not an operation is left out"
[price_lists.flat.prices.synaptic_op]
value = 2
unit = "pJ"
scope = "per-term"
basis = "derived"
node = "1 nm"
source = "invented"
grade = "S"
"""
    )
    answer = gossamer("energy", files / "run", "--chip", "mine.toml", "--json")
    assert answer.status == 0
    assert answer.json["energy_pj"]["mine.toml"]["by_event"].keys() == {"synaptic_op"}


@pytest.mark.parametrize(("chip", "code"), [("lohi", "GSM-501"), ("loihi:x", "GSM-503"), ("no.toml", "GSM-501")])
def test_an_unknown_chip_is_refused(gossamer, files, chip, code):
    answer = gossamer("energy", files / "run", "--chip", chip, "--json")
    assert answer.status == 2
    assert answer.json["error"]["code"] == code


def test_energy_without_a_chip_is_a_wrong_call(gossamer, files):
    answer = gossamer("energy", files / "run", "--json")
    assert answer.status == 2
    assert answer.json["error"]["code"] == "GSM-702"
    assert "--help" in answer.err
