"""Masks: how many weights they keep, what the scores learn, and that nothing comes back."""

import numpy as np
import pytest
import torch

from gossamer.training import TorchNetwork, attach_scores, convnet, density_of, prune_by_magnitude
from gossamer.training.pruning import n_zeroed, top_k_mask


def an_ann():
    return convnet((2, 8, 8), 5, seed=0, mean=[0.5] * 2, std=[0.25] * 2, channels=(4, "A", 6), hidden=(7,))


def weights_of(network):
    return [m.weight for c in network.connections for m in c.maps if hasattr(m, "weight")]


@pytest.mark.parametrize(
    ("n", "density", "zeroed"),
    [(10, 0.1, 9), (144, 0.1, 129), (20, 0.05, 19), (7, 0.5, 3), (5, 1.0, 0), (100, 0.01, 99)],
)
def test_a_mask_removes_exactly_the_share_rounded_down(n, density, zeroed, generator):
    scores = torch.randn(n, generator=generator)
    mask = top_k_mask(scores, density)
    assert n_zeroed(n, density) == zeroed
    assert int((~mask).sum()) == zeroed
    assert scores[mask].abs().min() >= (scores[~mask].abs().max() if zeroed else 0)


def test_ties_are_counted_exactly():
    assert int(top_k_mask(torch.ones(4, 5), 0.3).sum()) == 6


def test_scores_begin_as_scaled_weights():
    model = TorchNetwork(an_ann())
    before = {name: m.weight.detach().clone() for name, m in model.weight_maps().items()}
    attach_scores(model, 0.2)
    for name, m in model.weight_maps().items():
        fan_in = before[name][0].numel()
        expected = (6 / fan_in) ** 0.5 * before[name] / before[name].abs().max()
        torch.testing.assert_close(m.masking.scores.detach(), expected)


def test_score_training_changes_scores_and_batch_norm_and_nothing_else(generator):
    model = TorchNetwork(an_ann()).train()
    attach_scores(model, 0.2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.rand((16, 2, 8, 8), generator=generator)).square().sum().backward()
        optimizer.step()
    changed = {k.rsplit(".", 1)[1] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"scores", "gamma", "beta", "mean", "variance"}
    assert all(m.weight.grad is None for m in model.weight_maps().values())


def test_the_gradient_of_a_score_is_that_of_its_weight_times_the_weight_and_its_sign(generator):
    model = TorchNetwork(an_ann()).eval()
    attach_scores(model, 0.3)
    m = model.weight_maps()["fc1"]
    effective = (m.weight * m.masking.mask()).detach().requires_grad_()
    arriving = torch.randn(3, m.weight.shape[1], generator=generator)
    torch.nn.functional.linear(arriving, effective).square().sum().backward()
    m(arriving).square().sum().backward()
    expected = effective.grad * m.weight * m.masking.scores.detach().sign()
    torch.testing.assert_close(m.masking.scores.grad, expected)
    assert (m.masking.scores.grad[~m.masking.mask()] != 0).any(), "a removed weight can come back while scores train"


def test_the_network_of_a_scored_model_holds_its_masks():
    model = TorchNetwork(an_ann()).eval()
    attach_scores(model, 0.2)
    network = model.to_network()
    x = torch.rand(3, 2, 8, 8)
    with torch.no_grad():
        assert torch.equal(TorchNetwork(network).eval()(x), model(x))
    for name, (kept, total) in density_of(network).items():
        assert kept == total - n_zeroed(total, 0.2), name
    assert "logits" in density_of(network)


def test_magnitude_pruning_by_layer_keeps_the_largest_of_each():
    network = an_ann()
    pruned = prune_by_magnitude(network, 0.25)
    for before, after in zip(weights_of(network), weights_of(pruned), strict=True):
        kept = after != 0
        assert kept.sum() == before.size - n_zeroed(before.size, 0.25)
        assert np.abs(before[kept]).min() >= np.abs(before[~kept]).max()
        np.testing.assert_array_equal(before[kept], after[kept])


def test_magnitude_pruning_of_the_network_keeps_the_largest_of_all():
    network = an_ann()
    pruned = prune_by_magnitude(network, 0.25, scope="network")
    before = np.concatenate([w.ravel() for w in weights_of(network)])
    kept = np.concatenate([w.ravel() for w in weights_of(pruned)]) != 0
    assert kept.sum() == before.size - n_zeroed(before.size, 0.25)
    assert np.abs(before[kept]).min() >= np.abs(before[~kept]).max()
    assert len({kept / total for kept, total in density_of(pruned).values()}) > 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fine_tuning_revives_no_weight(optimizer, generator):
    pruned = prune_by_magnitude(an_ann(), 0.2)
    model = TorchNetwork(pruned).train()
    options = {"momentum": 0.9} if optimizer == "sgd" else {}
    step = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](
        model.parameters(), lr=0.05, weight_decay=0.1, **options
    )
    for _ in range(5):
        step.zero_grad()
        model(torch.rand((16, 2, 8, 8), generator=generator)).square().mean().backward()
        step.step()
    tuned = model.to_network()
    for before, after in zip(weights_of(pruned), weights_of(tuned), strict=True):
        assert not after[before == 0].any()
        assert (after != before).any()
    for a, b in zip(pruned.connections, tuned.connections, strict=True):
        for m, n in zip(a.maps, b.maps, strict=True):
            np.testing.assert_array_equal(getattr(m, "mask", None), getattr(n, "mask", None))
