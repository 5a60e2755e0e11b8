"""gossamer report: table, picture, page."""

import re
import struct

import pytest


@pytest.fixture
def runs(gossamer, files):
    """Two runs."""
    gossamer("simulate", files / "net8.graph", "--data", files / "x.npz", "-o", "quantized")
    return files / "run", "quantized"


def test_report_prints_a_table_without_writing_anything(gossamer, runs, tmp_path):
    before = sorted(tmp_path.iterdir())
    answer = gossamer("report", *runs)
    assert answer.status == 0
    assert "quantized" in answer.out
    assert "* Loihi has no price for mac" in answer.out
    assert sorted(tmp_path.iterdir()) == before


def test_the_page_is_self_contained_and_holds_the_numbers(gossamer, runs, tmp_path):
    answer = gossamer("report", *runs, "--html", "r.html", "--png", "r.png", "--json")
    assert answer.status == 0
    page = (tmp_path / "r.html").read_text()
    assert "data:image/png;base64," in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "Davies et al. 2018, Table 2" in page
    assert f"{answer.json['runs'][0]['layers'][1]['synapses']:,}" in page
    width, height = struct.unpack(">II", (tmp_path / "r.png").read_bytes()[16:24])
    assert width > 1000
    assert height > 800


def test_names_are_escaped_in_the_page(gossamer, tmp_path, files):
    name = "<script>alert(1)<"
    gossamer("simulate", files / "net.graph", "--data", files / "x.npz", "-o", name)
    gossamer("report", name, "--html", "r.html")
    assert "<script>" not in (tmp_path / "r.html").read_text()


def test_runs_without_labels_and_with_one_step_can_be_drawn(gossamer, files, tmp_path):
    gossamer("simulate", files / "net.graph", "--data", files / "unlabelled.npz", "--steps", 1, "-o", "one")
    answer = gossamer("report", "one", "--png", "r.png", "--chip", "loihi")
    assert answer.status == 0
    assert (tmp_path / "r.png").stat().st_size > 10_000


def test_pictures_need_matplotlib_and_the_table_does_not(gossamer, runs, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert gossamer("report", *runs).status == 0
    answer = gossamer("report", *runs, "--html", "r.html")
    assert answer.status == 2
    assert "GSM-701" in answer.err
    assert "gossamer[viz]" in answer.err
