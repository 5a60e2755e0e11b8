"""gossamer attack in all its ways: on graphs, through other networks, with other surrogates, the audit, energy."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from blind_search import blind_search

import gossamer as api
from gossamer.cli.attack import ATTACK_NAMES
from gossamer.compiler import Dense, InputCoding
from gossamer.training import ATTACKS, Bpda, Surrogate, robustness_curve

DIGITS = ("--data", "digits", "--limit", 60)
SMALL = ("--eps", "16/255", "--steps", 3)


def blind(model, x, y, *, eps, norm="linf", n_queries=20, n_restarts=1, generator=None):
    """Stands for Square."""
    return blind_search(model, x, y, eps=eps, n_queries=n_queries, generator=generator)


@pytest.fixture
def square(monkeypatch):
    monkeypatch.setitem(ATTACKS, "square", blind)
    monkeypatch.setitem(sys.modules, "gossamer.training.attacks.auto", SimpleNamespace(square=blind))


@pytest.fixture
def spiking(tiny_spiking):
    return tiny_spiking / "5-snn.safetensors"


@pytest.fixture
def graph(tiny_spiking):
    return tiny_spiking / "net8.graph"


@pytest.fixture(scope="module")
def digits():
    return api.load_dataset("digits", "test").limit(60)


def test_the_help_names_every_attack():
    assert set(ATTACK_NAMES) == set(ATTACKS)


def test_what_fools_the_checkpoint_is_shown_to_the_graph(gossamer, tiny_spiking, spiking, graph, digits):
    dense = tiny_spiking / "1-dense.safetensors"
    command = ("attack", graph, *DIGITS, *SMALL, "--source", spiking, "--source", dense, "--surrogate", "arctan:2")
    answer = gossamer(*command, "--json")
    assert answer.status == 0, answer.err
    found = answer.json
    report = api.transfer(
        graph, [spiking, dense], digits, eps=16 / 255, n_steps=3, surrogate=Surrogate(name="arctan", width=2.0)
    )
    assert found["parts"] == report.parts
    assert found["at_source"] == report.at_source
    assert found["adversarial_accuracy"] == report.adversarial_accuracy <= min(found["parts"].values())
    assert found["clean_accuracy"] == pytest.approx(
        api.simulate(api.load_graph(graph), digits.images(), digits.y).accuracy
    )
    assert (found["attack"], found["n_steps"], found["surrogate"]) == ("pgd", 3, "arctan:2")
    text = gossamer(*command).out
    assert "5-snn.safetensors" in text
    assert "(there:" in text


def test_smallest_changes_are_a_curve(gossamer, spiking, digits):
    command = ("attack", spiking, *DIGITS, "--minimal", "--eps", "64/255", "--steps", 3, "--bisections", 3)
    answer = gossamer(*command, "--json")
    assert answer.status == 0, answer.err
    report = api.minimal_eps(spiking, digits, max_eps=64 / 255, n_steps=3, n_bisections=3)
    found = answer.json
    assert [float("inf") if d is None else d for d in found["distances"]] == list(report.distances)
    assert found["curve"][0] == [0.0, report.clean_accuracy]
    assert [eps for eps, _ in found["curve"]] == pytest.approx([i * 64 / 255 / 8 for i in range(9)])
    shares = [share for _, share in found["curve"]]
    assert shares == sorted(shares, reverse=True)
    assert shares == list(robustness_curve(report, [eps for eps, _ in found["curve"]]))
    assert shares[-1] < shares[0]
    text = gossamer(*command).out
    assert "median distance" in text
    assert "64/255" in text


def test_an_extended_ensemble_has_two_more(gossamer, spiking):
    plain, extended = (
        gossamer("attack", spiking, *DIGITS, *SMALL, "--ensemble", *more, "--json").json
        for more in ((), ("--extended", "--keep-best"))
    )
    assert set(extended["estimators"]) - set(plain["estimators"]) == {"adaptive"}  # its own is the triangle of width 1
    assert extended["keep_best"]
    assert not plain["keep_best"]


def test_a_coding_without_a_gradient_is_passed_straight_through(gossamer, spiking, tmp_path, digits):
    network = api.load_checkpoint(spiking)
    path = tmp_path / "rate.safetensors"
    api.save_checkpoint(replace(network, coding=InputCoding(kind="rate")), path)
    plain = gossamer("attack", path, *DIGITS, *SMALL)
    assert (plain.status, "GSM-608" in plain.err) == (2, True)
    answer = gossamer("attack", path, *DIGITS, *SMALL, "--bpda", "--eot", 2, "--json")
    assert answer.status == 0, answer.err
    report = api.attack(path, digits, eps=16 / 255, n_steps=3, eot=2, bpda=Bpda())
    assert answer.json["adversarial_accuracy"] == report.adversarial_accuracy < report.clean_accuracy
    assert answer.json["eot"] == 2


@pytest.mark.parametrize("option", [("--bpda",), ("--eot", 2)])
def test_options_for_codings_are_refused_where_gradients_pass(gossamer, spiking, option):
    answer = gossamer("attack", spiking, *DIGITS, *SMALL, *option)
    assert (answer.status, "GSM-702" in answer.err, "direct coding" in answer.err) == (2, True, True)


@pytest.mark.usefixtures("square")
def test_a_graph_is_asked_by_square(gossamer, graph, digits):
    found = gossamer("attack", graph, *DIGITS, "--attack", "square", "--queries", 15, "--eps", "40/255", "--json").json
    assert found["n_queries"] == 15
    assert found["adversarial_accuracy"] < found["clean_accuracy"]
    report = api.attack(graph, digits, attack="square", eps=40 / 255, n_queries=15)
    assert report.adversarial_accuracy == found["adversarial_accuracy"]


def test_a_graph_gives_no_gradient_and_says_what_to_do(gossamer, graph):
    for arguments, code in (
        ((), "GSM-702"),
        (("--attack", "fgsm"), "GSM-608"),
        (("--audit",), "GSM-702"),
        (("--ensemble",), "GSM-702"),
        (("--energy",), "GSM-702"),
    ):
        answer = gossamer("attack", graph, *DIGITS, *arguments, "--json")
        assert answer.status == 2
        assert answer.json["error"]["code"] == code, arguments
        assert answer.json["error"]["remedy"]


def test_another_surrogate_is_another_attack(gossamer, spiking, digits):
    said = {}
    for surrogate in (Surrogate(), Surrogate(name="rectangular", width=0.01)):
        text = f"{surrogate.name}:{surrogate.width}"
        said[text] = gossamer("attack", spiking, *DIGITS, *SMALL, "--surrogate", text, "--json").json
        of_api = api.attack(spiking, digits, eps=16 / 255, n_steps=3, surrogate=surrogate)
        assert said[text]["adversarial_accuracy"] == of_api.adversarial_accuracy
    usual = gossamer("attack", spiking, *DIGITS, *SMALL, "--json").json
    assert usual["adversarial_accuracy"] == said["triangle:1.0"]["adversarial_accuracy"]
    assert said["triangle:1.0"]["adversarial_accuracy"] < said["rectangular:0.01"]["adversarial_accuracy"]


def test_an_ensemble_says_what_each_surrogate_still_found(gossamer, spiking, monkeypatch):
    calls = []

    def stand_in(model, dataset, attack, *, seed=0, batch_size=256, progress=None, **options):
        calls.append((dataset.n_samples, attack, seed, options))
        estimators = {
            "triangle 1": SimpleNamespace(n_attacked=45, n_fooled=20),
            "arctan 2": SimpleNamespace(n_attacked=25, n_fooled=10),
        }
        return SimpleNamespace(clean_accuracy=0.75, adversarial_accuracy=0.25, options=options, estimators=estimators)

    monkeypatch.setattr("gossamer.training.evaluate_ensemble", stand_in, raising=False)
    command = ("attack", spiking, *DIGITS, *SMALL, "--ensemble", "--seed", 4)
    found = gossamer(*command, "--json").json
    assert found["estimators"]["arctan 2"] == {"n_attacked": 25, "n_fooled": 10}
    assert (found["clean_accuracy"], found["adversarial_accuracy"]) == (0.75, 0.25)
    options = {"eps": 16 / 255, "n_steps": 3, "extended": False, "bpda": None}
    assert calls == [(60, ATTACKS["pgd"], 4, options)]
    text = gossamer(*command).out
    assert "20 fooled of 45" in text
    assert "25.00 %" in text


@pytest.mark.parametrize(("limit", "n"), [((), 200), (("--limit", 230), 230)])
def test_the_audit_takes_200_samples_unless_it_is_told(gossamer, spiking, limit, n):
    found = gossamer("attack", spiking, "--data", "digits", *limit, "--audit", "--steps", 2, "--queries", 0, "--json")
    assert found.json["n_samples"] == n
    assert set(found.json["not_checked"]) == {"black box", "transfer"}


@pytest.mark.usefixtures("square")
def test_the_audit_passes_an_honest_network_and_fails_one_whose_softmax_saturates(gossamer, spiking, digits, tmp_path):
    # A barely trained network is right by little, so that noise of 40/255 already fools it often.
    command = (*DIGITS, "--eps", "40/255", "--audit", "--steps", 20, "--queries", 20)
    honest = gossamer("attack", spiking, *command, "--source", spiking, "--json")
    assert honest.status == 0, honest.out
    assert honest.json["passed"]
    assert honest.json["steps"] == [2, 10, 20]
    assert honest.json["n_samples"] == 60
    assert [f["check"] for f in honest.json["findings"]][-2:] == ["transfer", "growth"]
    network = api.load_checkpoint(spiking)
    *before, last = network.connections
    maps = tuple(
        replace(m, weight=1e4 * m.weight, bias=None if m.bias is None else 1e4 * m.bias) if isinstance(m, Dense) else m
        for m in last.maps
    )
    loud = replace(network, connections=(*before, replace(last, maps=maps)))
    api.save_checkpoint(loud, tmp_path / "loud.safetensors")
    hidden = gossamer("attack", "loud.safetensors", *command)
    assert hidden.status == 1
    assert "FAIL gradient" in hidden.out
    assert "signs of hidden gradients" in hidden.out
    found = gossamer("attack", spiking, *command, "--json").json
    report = api.audit(spiking, digits, eps=40 / 255, steps=(2, 10, 20), n_queries=20)
    assert found == {**report.to_dict(), "data": "digits", "split": "test"}


def test_the_energy_attack_is_counted_and_priced_by_the_simulator(gossamer, spiking, digits):
    command = ("attack", spiking, *DIGITS, *SMALL, "--energy", "--chip", "loihi", "--chip", "cmos-45nm")
    answer = gossamer(*command, "--json")
    assert answer.status == 0, answer.err
    found = answer.json
    run = api.simulate(api.compile(spiking), digits.images())
    assert found["synaptic_ops"]["clean"] == run.total.synaptic_ops / 60
    assert found["energy_pj"]["cmos-45nm"]["clean"] == api.energy(run, "cmos-45nm")["cmos-45nm"].per_sample_pj
    assert found["energy_pj"]["loihi"]["partial"]
    assert found["synaptic_ops"]["factor"] > found["synaptic_ops"]["noise_factor"]
    assert found["synaptic_ops"]["factor"] == found["synaptic_ops"]["attacked"] / found["synaptic_ops"]["clean"]
    assert found["share_kept"] > 0.95  # that of the graph, whose sums may be rounded otherwise
    assert found["keep_prediction"]
    text = gossamer(*command).out
    assert "energy on loihi (PARTIAL)" in text
    assert "attacked / clean" in text


def test_the_energy_attack_on_a_graph_counts_its_own_synapses(gossamer, spiking, graph, digits):
    found = gossamer("attack", graph, *DIGITS, *SMALL, "--energy", "--source", spiking, "--json").json
    run = api.simulate(api.load_graph(graph), digits.images())
    assert found["synaptic_ops"]["clean"] == run.total.synaptic_ops / 60
    attack = api.energy_attack(spiking, digits, graph=graph, eps=16 / 255, n_steps=3)
    assert attack.to_dict()["synaptic_ops"] == found["synaptic_ops"]
    assert attack.runs["attacked"].arithmetic == "int"
    assert found["energy_pj"] == {}


def test_a_graph_of_another_network_is_refused_by_the_energy_attack(gossamer, spiking, files):
    answer = gossamer("attack", files / "net8.graph", *DIGITS, "--energy", "--source", spiking, "--json")
    assert answer.status == 2
    assert answer.json["error"]["code"] == "GSM-702"
    assert "not compiled from" in answer.json["error"]["what"]


def test_an_artificial_network_has_no_energy_to_attack(gossamer, tiny_dense):
    answer = gossamer("attack", tiny_dense, *DIGITS, "--energy", "--json")
    assert answer.json["error"]["code"] == "GSM-608"
    assert "no spikes" in answer.json["error"]["what"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--audit", "--energy"), "GSM-702"),
        (("--audit", "--attack", "pgd"), "GSM-702"),
        (("--audit", "--norm", "l2"), "GSM-702"),
        (("--energy", "--queries", "3"), "GSM-702"),
        (("--energy", "--source", "x"), "GSM-702"),
        (("--ensemble", "--surrogate", "arctan"), "GSM-702"),
        (("--ensemble", "--source", "x"), "GSM-702"),
        (("--chip", "loihi"), "GSM-702"),
        (("--energy", "--chip", "lohi"), "GSM-501"),
        (("--norm", "l1"), "GSM-702"),
        (("--surrogate", "square"), "GSM-608"),
        (("--surrogate", "arctan:wide"), "GSM-702"),
        (("--surrogate", "arctan:0"), "GSM-608"),
        (("--source", "nowhere"), "GSM-101"),
        (("--queries", "3"), "GSM-702"),
    ],
)
def test_options_that_contradict_each_other_are_refused(gossamer, spiking, arguments, code):
    answer = gossamer("attack", spiking, *DIGITS, *arguments, "--json")
    assert answer.status == 2
    assert answer.json["error"]["code"] == code, answer.err


def test_a_source_with_other_classes_is_refused(gossamer, spiking, tmp_path):
    network = api.load_checkpoint(spiking)
    *before, last = network.connections
    maps = tuple(
        replace(m, weight=m.weight[:7], bias=None if m.bias is None else m.bias[:7], mask=None)
        if isinstance(m, Dense)
        else m
        for m in last.maps
    )
    populations = tuple(
        replace(p, shape=(7,), bias=np.float32(0)) if p.name == network.output else p for p in network.populations
    )
    seven = replace(network, populations=populations, connections=(*before, replace(last, maps=maps)))
    api.save_checkpoint(seven, tmp_path / "seven.safetensors")
    answer = gossamer("attack", spiking, *DIGITS, "--source", "seven.safetensors", "--json")
    assert answer.json["error"]["code"] == "GSM-605"
