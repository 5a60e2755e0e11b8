"""Firing rates against what is recorded."""

import pytest
import torch

from gossamer.training import TorchNetwork, convnet, firing_rates, to_spiking


def an_ann():
    return convnet((1, 8, 8), 4, seed=0, mean=[0.5], std=[0.25], channels=(4, "A"), hidden=(8,))


def images(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, 1, 8, 8, generator=generator) for n in sizes]


def test_rates_are_spikes_per_neuron_and_step_over_all_batches():
    model = TorchNetwork(to_spiking(an_ann(), {"conv1": 0.8, "fc1": 0.3}, n_steps=6)).train()
    batches = images(5, 3)
    rates = firing_rates(model, batches)
    assert model.training
    model.eval()
    for name, found in rates.items():
        spikes = torch.cat([model(x, record=True)[1][name] for x in batches], dim=1)
        assert found.rate == found.mean == pytest.approx(spikes.mean().item(), rel=1e-6)
        assert 0 < found.rate < 1
    assert list(rates) == ["conv1", "fc1"]
    assert firing_rates(model, batches, n_steps=1)["fc1"].rate < rates["fc1"].rate


def test_of_an_artificial_network_the_share_of_positive_activations_and_their_mean():
    model = TorchNetwork(an_ann()).eval()
    (x,) = images(7)
    emitted = model(x, record=True)[1]
    for name, found in firing_rates(model, [x]).items():
        assert found.rate == pytest.approx((emitted[name] > 0).float().mean().item(), rel=1e-6)
        assert found.mean == pytest.approx(emitted[name].mean().item(), rel=1e-5)
        assert found.mean != found.rate


def test_nothing_is_left_behind_when_a_batch_does_not_fit():
    model = TorchNetwork(an_ann()).train()
    with pytest.raises(Exception, match="GSM-608"):
        firing_rates(model, [torch.rand(2, 1, 9, 9)])
    assert model.training
    assert not any(p._forward_hooks for p in model.populations_in_order())
    assert firing_rates(model, []) == {}
