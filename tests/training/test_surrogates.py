"""Surrogate gradients: their shape, by closed forms that are not the code's."""

from math import exp, pi
from typing import get_args

import pytest
import torch

from gossamer.training import Surrogate, TrainingError
from gossamer.training.surrogates import SURROGATES, SurrogateName


@pytest.mark.parametrize("name", ["triangle", "arctan", "rectangular"])
@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_the_area_under_a_surrogate_is_that_of_a_step(name, width):
    u = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    area = torch.trapezoid(Surrogate(name=name, width=width).derivative(u), u)
    assert area.item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    ("surrogate", "u", "expected"),
    [
        (Surrogate(name="triangle", width=2.0), 0.5, (2 - 0.5) / 4),
        (Surrogate(name="triangle", width=0.5), -0.6, 0.0),
        (Surrogate(name="arctan"), 0.3, 1 / (1 + (pi * 0.3) ** 2)),  # alpha / 2 / (1 + (pi alpha u / 2)^2), alpha = 2
        (Surrogate(name="rectangular", width=0.25), 0.1, 4.0),
        (Surrogate(name="rectangular", width=0.25), 0.13, 0.0),
        (Surrogate(name="exponential", width=0.5, scale=0.3), -1.0, 0.3 * exp(-2)),
        (Surrogate(name="straight-through"), 7.0, 1.0),
    ],
)
def test_a_surrogate_has_the_value_of_its_formula(surrogate, u, expected):
    assert surrogate.derivative(torch.tensor([u])).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", get_args(SurrogateName))
def test_a_surrogate_leaves_its_input_alone(name):
    u = torch.tensor([-1.0, 0.0, 0.25])
    Surrogate(name=name, scale=2.0).derivative(u)
    assert u.tolist() == [-1.0, 0.0, 0.25]


def test_every_name_has_a_function():
    assert set(get_args(SurrogateName)) == set(SURROGATES)


@pytest.mark.parametrize("arguments", [{"name": "sigmoid"}, {"width": 0.0}, {"scale": -1.0}, {"width": float("nan")}])
def test_a_bad_surrogate_is_refused(arguments):
    with pytest.raises(TrainingError, match="GSM-608"):
        Surrogate(**arguments)
