"""Real-valued joins are led past, exactly, and whole ones stay."""

from dataclasses import replace

import numpy as np
import pytest
from networks import refusal

from gossamer.compiler import (
    BatchNorm,
    Connection,
    Dense,
    InputCoding,
    Network,
    Population,
    Scale,
    canonicalize,
    expand_joins,
    integrate_and_fire,
    quantize,
)
from gossamer.simulator import run_reference


def weighted(**changes):
    """in -> a, in -> b; a join, scale a + 2 scale b -> c and, a step later, d; all of two neurons."""
    changes = {"scale": 0.5, "shift": None, "bias": 0.0, "delay": 1, "output": "d", "kind": "spiking", **changes}
    first = integrate_and_fire(1.0) if changes["kind"] == "spiking" else None
    kinds = {"in": "input", "a": changes["kind"], "b": changes["kind"], "sum": "join", "c": "spiking", "d": "spiking"}
    populations = [
        Population(
            name=name, shape=(2,), kind=kind, bias=np.float32(changes["bias"] if name == "sum" else 0),
            neuron=first if name in "ab" else integrate_and_fire(2.0) if name in "cd" else None,
        )
        for name, kind in kinds.items()
    ]  # fmt: skip
    norm = BatchNorm(mean=[0.25] * 2, variance=[0.25] * 2, gamma=[1.0] * 2, beta=[0.125] * 2, eps=0.0)
    ends = {
        ("in", "a"): (Dense(weight=np.eye(2)),),
        ("in", "b"): (Dense(weight=np.eye(2)[::-1]),),
        ("a", "sum"): (Scale(scale=changes["scale"], shift=changes["shift"]),),
        ("b", "sum"): (Dense(weight=np.eye(2) * 2 * changes["scale"]),),
        ("sum", "c"): (norm,),
        ("sum", "d"): (Dense(weight=np.array([[1.0, 2.0], [0.0, 1.0]]), bias=np.full(2, 0.25)),),
    }
    connections = [
        Connection(source=a, target=b, maps=maps, delay=changes["delay"] if (a, b) == ("sum", "d") else 0)
        for (a, b), maps in ends.items()
    ]
    return Network(
        name="weighted",
        populations=tuple(populations),
        connections=tuple(connections),
        output=changes["output"],
        n_steps=5,
        coding=InputCoding(kind="events" if changes["kind"] == "spiking" else "direct"),
    )


@pytest.mark.parametrize("changes", [{}, {"shift": 0.25, "delay": 0}, {"bias": 0.125, "delay": 0}, {"scale": 0.75}])
def test_sources_of_a_real_valued_join_reach_its_targets_past_it(changes):
    n = weighted(**changes)
    expanded = expand_joins(n)
    assert [p.name for p in expanded.populations] == ["in", "a", "b", "c", "d"]
    ends = [(c.source, c.target, c.delay) for c in expanded.connections]
    delay = changes.get("delay", 1)
    assert ends == [
        ("in", "a", 0), ("in", "b", 0), ("a", "c", 0), ("b", "c", 0), ("a", "d", delay), ("b", "d", delay),
    ]  # fmt: skip
    x = np.random.default_rng(0).integers(0, 2, (4, 5, 2))
    before = run_reference(n, x).spikes
    for network in (expanded, canonicalize(n)):
        after = run_reference(network, x).spikes
        assert "sum" not in after
        for name, spikes in after.items():
            np.testing.assert_array_equal(spikes, before[name], err_msg=name)
    assert 0 < before["c"].mean() < 1
    assert 0 < before["d"].mean() < 1
    q = quantize(canonicalize(n))
    assert q.arithmetic == "int"
    assert expand_joins(q) is q


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 1.0},  # whole: graded spikes
        {"kind": "relu"},  # artificial neurons send numbers anyway
        {"output": "sum"},
        {"bias": 0.25, "delay": 1},  # the constant would come a step too early
        {"shift": 0.25, "delay": 1},
    ],
)
def test_a_join_that_has_to_stay_stays(changes):
    n = weighted(**changes)
    assert expand_joins(n) is n
    if "scale" not in changes and "kind" not in changes:
        assert "'sum'" in refusal(lambda: quantize(canonicalize(n)), "GSM-302").where


def test_a_join_that_feeds_itself_stays():
    n = weighted()
    again = Connection(source="sum", target="sum", maps=(Scale(scale=0.5),), delay=1)
    n = replace(n, connections=(*n.connections, again))
    assert expand_joins(n) is n


def test_a_join_of_joins_is_expanded_to_the_first_spikes():
    n = weighted()
    second = Population(name="sum2", shape=(2,), kind="join")
    n = replace(
        n,
        populations=(*n.populations, second),
        connections=(
            *(replace(c, source="sum2") if (c.source, c.target) == ("sum", "d") else c for c in n.connections),
            Connection(source="sum", target="sum2", maps=(Scale(scale=0.5),)),
            Connection(source="c", target="sum2", maps=()),
        ),
    )
    expanded = expand_joins(n)
    assert [(c.source, c.target) for c in expanded.connections if c.target == "d"] == [
        ("a", "d"),
        ("b", "d"),
        ("c", "d"),
    ]
    x = np.random.default_rng(0).integers(0, 2, (4, 5, 2))
    before, after = run_reference(n, x).spikes, run_reference(expanded, x).spikes
    np.testing.assert_array_equal(before["d"], after["d"])
    assert 0 < before["d"].mean() < 1
