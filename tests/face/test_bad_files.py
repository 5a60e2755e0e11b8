"""Files that are missing, damaged, foreign, newer or of another kind: a code, status 2, nothing written."""

import re
from dataclasses import replace

import pytest

import gossamer as api

VERBS = {
    "compile": lambda f: ("compile", f, "-o", "out"),
    "simulate": lambda f: ("simulate", f, "--data", "digits"),
    "attack": lambda f: ("attack", f, "--data", "digits"),
    "energy": lambda f: ("energy", f, "--chip", "loihi"),
    "inspect": lambda f: ("inspect", f),
    "diff": lambda f: ("diff", f, f),
    "report": lambda f: ("report", f, "--html", "out"),
}
KIND = {"compile": "net.safetensors", "attack": "net.safetensors", "energy": "run", "report": "run"}


def damaged(good, how):
    """Bytes of a file gone wrong."""
    if how == "truncated":
        return good[:-100]
    if how == "cut in the header":
        return good[:40]
    if how == "empty":
        return b""
    if how == "flipped":
        return good[:-20] + bytes([good[-20] ^ 1]) + good[-19:]
    if how == "header flipped":
        return good.replace(b"topological", b"topologicaL").replace(b"conv1", b"conv7", 1)
    if how == "newer":
        return re.sub(rb'"version":"\d"', b'"version":"9"', good)
    if how == "text":
        return b"[recipe]\nname = 'x'\n"
    if how == "hdf5":
        return b"\x89HDF\r\n\x1a\n" + bytes(200)
    raise ValueError(how)


CODES = {
    "truncated": {"GSM-104"},
    "cut in the header": {"GSM-104", "GSM-102"},
    "empty": {"GSM-102"},
    "flipped": {"GSM-104"},
    "header flipped": {"GSM-104"},
    "newer": {"GSM-103"},
    "text": {"GSM-102"},
    "hdf5": {"GSM-104", "GSM-102", "GSM-702"},
}


@pytest.mark.parametrize("how", CODES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_damaged_file_is_refused(gossamer, files, tmp_path, verb, how):
    good = (files / KIND.get(verb, "net.graph")).read_bytes()
    bad = tmp_path / "bad"
    bad.write_bytes(damaged(good, how))
    assert bad.read_bytes() != good
    answer = gossamer(*VERBS[verb]("bad"))
    assert answer.status == 2, answer
    assert answer.err.split("error ")[1][:7] in CODES[how], answer.err
    assert "bad" in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert list(tmp_path.iterdir()) == [bad]


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_file_and_a_folder_are_refused(gossamer, tmp_path, verb):
    (tmp_path / "folder").mkdir()
    for name in ("missing", "folder"):
        answer = gossamer(*VERBS[verb](name), *(["--json"] if verb != "compile" else []))
        assert answer.status == 2
        assert "GSM-101" in answer.err
        assert name in answer.err
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        ("compile", "net.graph"),
        ("compile", "run"),
        ("attack", "run"),
        ("energy", "net.graph"),
        ("simulate", "run"),
    ],
)
def test_another_kind_of_file_is_named(gossamer, files, verb, kind):
    answer = gossamer(*VERBS[verb](files / kind))
    assert answer.status == 2
    assert "GSM-102" in answer.err
    assert "expected" in answer.err


def test_what_a_file_holds_and_is_called_cannot_steer_the_terminal(gossamer, small_network):
    evil = "\x1b[31mred\x07"
    api.save_checkpoint(replace(small_network, metadata={evil: evil}), evil)
    for arguments in (
        ("inspect", evil),
        ("compile", evil, "-o", f"g{evil}"),
        ("inspect", f"g{evil}"),
        ("diff", evil, f"g{evil}"),
        ("inspect", f"missing{evil}"),
        ("simulate", evil, "--data", evil),
        (evil,),
    ):
        answer = gossamer(*arguments)
        assert "\x1b" not in answer.out + answer.err
        assert "\x07" not in answer.out + answer.err
    assert gossamer("inspect", evil, "--json").json["metadata"][evil] == evil
