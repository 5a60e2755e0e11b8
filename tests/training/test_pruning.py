"""Masks: how many weights they keep, what the scores learn, and that nothing comes back."""

import copy

import numpy as np
import pytest
import torch

from gossamer.training import (
    TorchNetwork,
    TrainingError,
    attach_rates,
    attach_scores,
    convnet,
    density_of,
    mlp,
    prune_at_random,
    prune_by_magnitude,
    prune_like,
    rewire,
)
from gossamer.training.pruning import Pattern, n_zeroed, share_to_move, top_k_mask, watch_gradients
from gossamer.training.pruning.baselines import erdos_renyi


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


# --- HARP


def harped(density=0.2, initial=0.5, **options):
    model = TorchNetwork(an_ann()).eval()
    return model, attach_rates(model, density, initial=initial, **options)


def test_harp_begins_with_the_shares_it_is_given_and_hydras_scores():
    model, rates = harped()
    for m in model.weight_maps().values():
        assert m.masking.density().item() == pytest.approx(0.5)
        assert int(m.masking.mask().sum()) == pytest.approx(0.5 * m.weight.numel(), abs=1)
    assert rates.excess().item() == pytest.approx(0.5 / 0.2 - 1)
    assert rates().item() == pytest.approx(0.01 * (0.5 / 0.2 - 1))


def test_a_layers_share_gets_the_sum_of_its_masks_gradients(generator):
    model, _ = harped()
    m = model.weight_maps()["fc1"]
    effective = (m.weight * m.masking.mask()).detach().requires_grad_()
    arriving = torch.randn(3, m.weight.shape[1], generator=generator)
    torch.nn.functional.linear(arriving, effective).square().sum().backward()
    m(arriving).square().sum().backward()
    sigmoid, least = m.masking.rate.detach().sigmoid(), 0.1 * 0.2
    expected = (effective.grad * m.weight).sum() * (1 - least) * sigmoid * (1 - sigmoid)
    torch.testing.assert_close(m.masking.rate.grad, expected)


def test_the_pull_grows_with_each_epoch_until_the_target_is_reached():
    _, rates = harped(penalty=0.5)
    for epoch in range(3):
        assert rates.gamma.item() == 0.5 * (epoch + 1)
        rates.end_epoch()
    rates.trim()
    assert rates.is_reached
    before = rates.gamma.item()
    for _ in range(2):
        rates.end_epoch()
    assert rates.gamma.item() == before


def test_trimming_lowers_every_share_to_the_target_and_no_further():
    model, rates = harped()
    rates.trim()
    kept = sum(m.masking.density().item() * m.weight.numel() for m in model.weight_maps().values())
    total = sum(m.weight.numel() for m in model.weight_maps().values())
    assert kept / total == pytest.approx(0.2, rel=1e-4)
    before = [m.masking.rate.item() for m in model.weight_maps().values()]
    rates.trim()
    assert before == [m.masking.rate.item() for m in model.weight_maps().values()], "what is met is left alone"


def test_training_the_shares_moves_weights_between_layers(generator):
    model, rates = harped(penalty=2.0, initial=0.3)
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        x = torch.rand((16, 2, 8, 8), generator=generator)
        (torch.nn.functional.cross_entropy(model(x), (x[:, 0].mean((1, 2)) > 0.5).long()) + rates()).backward()
        optimizer.step()
        rates.end_epoch()
    rates.trim()
    shares = {name: kept / total for name, (kept, total) in density_of(model.to_network()).items()}
    kept, total = (sum(n) for n in zip(*density_of(model.to_network()).values(), strict=True))
    assert kept / total < 0.2 + 0.01
    assert max(shares.values()) > 1.05 * min(shares.values())


# --- masks that nothing is learned for


def test_random_masks_keep_the_share_and_depend_on_the_seed_alone():
    network = an_ann()
    a, b, c = (prune_at_random(network, 0.25, seed=seed) for seed in (1, 1, 2))
    for first, again, other in zip(weights_of(a), weights_of(b), weights_of(c), strict=True):
        assert (first != 0).sum() == first.size - n_zeroed(first.size, 0.25)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_erdos_renyi_keeps_more_of_small_layers_and_the_same_in_all():
    shapes = [(4, 2, 3, 3), (64, 64, 3, 3), (10, 1000)]
    shares = erdos_renyi(shapes, 0.2)
    sizes = [np.prod(shape) for shape in shapes]
    assert sum(s * n for s, n in zip(shares, sizes, strict=True)) == pytest.approx(0.2 * sum(sizes))
    assert shares[0] == 1.0, "what would be more than all is all"
    assert shares[1] / shares[2] == pytest.approx((134 / 36864) / (1010 / 10000))


def test_the_masks_of_another_network_are_taken_over():
    network, other = an_ann(), prune_by_magnitude(an_ann(), 0.3)
    pruned = prune_like(network, other)
    for before, theirs, mine in zip(weights_of(network), weights_of(other), weights_of(pruned), strict=True):
        np.testing.assert_array_equal(mine, before * (theirs != 0))
    with pytest.raises(TrainingError, match=r"GSM-608.*without a mask"):
        prune_like(network, an_ann())
    wider = convnet((2, 8, 8), 5, seed=0, mean=[0.5] * 2, std=[0.25] * 2, channels=(5, "A", 6), hidden=(7,))
    with pytest.raises(TrainingError, match=r"GSM-608.*other layers"):
        prune_like(network, prune_by_magnitude(wider, 0.3))


# --- patterns

PATTERNS = ["free", "channels", "kernels", "4x1", "1x4", "2x2", "3x5", "2:4", "1:8"]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("is_readout", [False, True])
@pytest.mark.parametrize("shape", [(6, 5, 3, 3), (8, 4, 1, 1), (7, 10), (4, 8)])
def test_groups_hold_every_weight_once_and_come_back(name, is_readout, shape, generator):
    pattern = Pattern(name, is_readout)
    weights = torch.rand(shape, generator=generator) + 1
    groups = pattern.to_groups(weights)
    assert torch.equal(pattern.from_groups(groups, weights.shape), weights)
    assert torch.equal(groups[groups > 0].sort().values, weights.flatten().sort().values)


@pytest.mark.parametrize("name", [n for n in PATTERNS if ":" not in n])
def test_whole_groups_are_kept_or_removed_and_it_is_the_largest_that_stay(name, generator):
    scores = torch.randn((8, 6, 3, 3), generator=generator)
    pattern = Pattern(name)
    mask = top_k_mask(scores, 0.25, pattern)
    kept, sizes = pattern.to_groups(mask.float()), pattern.to_groups(torch.ones_like(scores)).sum(1)
    assert all(n in (0, size) for n, size in zip(kept.sum(1), sizes, strict=True))
    assert int((kept.sum(1) > 0).sum()) == len(sizes) - n_zeroed(len(sizes), 0.25)
    means = pattern.to_groups(scores.abs()).sum(1) / sizes
    assert means[kept.sum(1) > 0].min() >= means[kept.sum(1) == 0].max()


def test_n_of_m_keeps_the_largest_n_of_m_inputs(generator):
    scores = torch.randn((3, 8), generator=generator)
    mask = top_k_mask(scores, 0.5, Pattern("2:4"))
    for row, kept in zip(scores.abs(), mask, strict=True):
        for lo in (0, 4):
            assert set(row[lo : lo + 4].topk(2).indices.tolist()) == set(kept[lo : lo + 4].nonzero().flatten().tolist())


def test_blocks_lie_over_output_and_input_channels_at_one_place():
    scores = torch.zeros((4, 4, 3, 3))
    scores[2:4, 0:2, 1, 2] = 1
    mask = top_k_mask(scores, 1 / 36, Pattern("2x2"))
    assert mask[2:4, 0:2, 1, 2].all()
    assert int(mask.sum()) == 4


def test_channels_of_the_readout_are_its_inputs_and_every_class_stays():
    pruned = prune_by_magnitude(an_ann(), 0.5, pattern="channels")
    readout = weights_of(pruned)[-1]
    assert (readout != 0).any(1).all()
    assert ((readout != 0).all(0) | (readout == 0).all(0)).all()
    first = weights_of(pruned)[0]
    assert {int((channel != 0).sum()) for channel in first} == {0, first[0].size}


# --- rewiring


def a_sparse_model():
    return TorchNetwork(prune_at_random(an_ann(), 0.3, seed=0)).train()


def test_rewiring_exchanges_the_smallest_for_those_with_the_largest_gradients(generator):
    model = a_sparse_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    dense = {}
    watch_gradients(model, True)
    x = torch.rand((16, 2, 8, 8), generator=generator)
    model(x).square().mean().backward()
    optimizer.step()
    before = {name: (m.masking.keep.clone(), m.weight.detach().clone()) for name, m in model.weight_maps().items()}
    for name, m in model.weight_maps().items():
        dense[name] = m.masking.gradient().abs()
        assert (dense[name][~m.masking.keep] > 0).any(), "hidden weights have gradients, too"
        torch.testing.assert_close(m.masking.gradient() * m.masking.keep, m.weight.grad)
    n_moved = rewire(model, optimizer, 0.25, "gradient", generator)
    total = 0
    for name, m in model.weight_maps().items():
        (kept, weight), now = before[name], m.masking.keep
        gone, come = kept & ~now, now & ~kept
        assert int(now.sum()) == int(kept.sum())
        assert int(gone.sum()) == int(come.sum()) == int(0.25 * int(kept.sum()))
        assert weight[gone].abs().max() <= weight[kept & now].abs().min()
        assert dense[name][come].min() >= dense[name][~kept & ~now].max()
        assert not m.weight[come].any()
        assert not optimizer.state[m.weight]["momentum_buffer"][come | gone].any()
        assert torch.equal(m.weight[kept & now], weight[kept & now])
        total += int(come.sum())
    assert n_moved == total > 0


def test_random_rewiring_needs_no_gradient_and_repeats_with_its_generator():
    found = []
    for seed in (0, 0, 1):
        model = a_sparse_model()
        rewire(model, torch.optim.SGD(model.parameters(), lr=0.1), 0.5, "random", torch.Generator().manual_seed(seed))
        found.append(torch.cat([m.masking.keep.flatten() for m in model.weight_maps().values()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_share_that_moves_goes_down_a_cosine():
    assert [share_to_move(0.4, done, 0.8) for done in (0.0, 0.4, 0.8, 0.9)] == pytest.approx([0.4, 0.2, 0.0, 0.0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_mask_is_chosen_anew_only_when_its_scores_have_changed(optimizer):
    model = TorchNetwork(mlp((1, 4, 4), 3, seed=0, mean=[0.5], std=[0.25], hidden=(8,)))
    attach_scores(model, 0.25)
    layers = [m.masking for m in model.weight_maps().values()]
    x = torch.rand(5, 1, 4, 4)
    model(x)
    first = [layer.mask() for layer in layers]
    model(x)
    assert all(layer.mask() is mask for layer, mask in zip(layers, first, strict=True))
    state = copy.deepcopy(model.state_dict())
    scores = [layer.scores for layer in layers]
    steps = {"sgd": torch.optim.SGD(scores, lr=50.0, momentum=0.9), "adam": torch.optim.Adam(scores, lr=1.0)}
    model(x).square().sum().backward()
    steps[optimizer].step()
    for layer, mask in zip(layers, first, strict=True):
        assert torch.equal(layer.mask(), top_k_mask(layer.scores, 0.25))
        assert not torch.equal(layer.mask(), mask)
    model.load_state_dict(state)
    assert all(torch.equal(layer.mask(), mask) for layer, mask in zip(layers, first, strict=True))
