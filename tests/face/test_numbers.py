"""Numbers as people read them."""

import pytest

from gossamer.report import numbers
from gossamer.report.text import clean


@pytest.mark.parametrize(
    ("pj", "text"),
    [
        (0, "0 pJ"),
        (0.05, "0.05 pJ"),
        (12.34, "12.3 pJ"),
        (999.7, "1.00 nJ"),
        (2_500, "2.50 nJ"),
        (3e9, "3.00 mJ"),
        (None, "-"),
    ],
)
def test_energy(pj, text):
    assert numbers.energy(pj) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0"), (0.0, "0"), (12.34, "12.3"), (99.96, "100"), (12_345, "12,345"), (12_345.6, "12,346"), (None, "-")],
)
def test_count(n, text):
    assert numbers.count(n) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (3 << 20, "3.00 MiB"), (None, "-")]
)
def test_size(n, text):
    assert numbers.size(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0042, "4.20 ms"),
        (3.14, "3.1 s"),
        (59.99, "1:00 min"),
        (245, "4:05 min"),
        (3723, "1:02:03 h"),
        (float("nan"), "-"),
    ],
)
def test_duration(seconds, text):
    assert numbers.duration(seconds) == text


def test_percent_and_eps():
    assert numbers.percent(0.97251) == "97.25 %"
    assert numbers.percent(None) == numbers.percent(float("nan")) == "-"
    assert numbers.fraction_of_255(8 / 255) == "8/255"
    assert numbers.fraction_of_255(0.1) == "0.1"
    assert numbers.fraction_of_255(51 / 255) == "0.2"
    assert numbers.fraction_of_255(0.0) == "0"


def test_clean_text_keeps_letters_and_lines_and_nothing_that_steers():
    assert clean("größer\nµJ \x1b[2J\x07\u202e") == "größer\nµJ \ufffd[2J\ufffd\ufffd"
