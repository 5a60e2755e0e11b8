"""Computing layers again changes neither results nor statistics, only what is kept."""

import pytest
import torch
import torch.nn.functional as F
from networks import small_convolutional

from gossamer.training import Surrogate, TorchNetwork


def a_step(low_memory, *, trains=True):
    """Gradients, buffers and the largest arrays that one step keeps."""
    kept = []

    def pack(tensor):
        kept.append((tensor.dtype, tensor.numel()))
        return tensor

    generator = torch.Generator().manual_seed(0)
    model = TorchNetwork(
        small_convolutional(), train_thresholds=True, low_memory=low_memory, surrogate=Surrogate(width=2.0)
    )
    model.train(trains)
    x = torch.rand((6, 3, 8, 8), generator=generator).requires_grad_()
    y = torch.randint(0, 5, (6,), generator=generator)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()} | {"x": x.grad}
    return gradients, dict(model.named_buffers()), kept


@pytest.mark.parametrize("trains", [True, False])
def test_gradients_and_statistics_are_the_same(trains):
    (gradients, buffers, _), (again, same_buffers, _) = a_step(False, trains=trains), a_step(True, trains=trains)
    assert gradients.keys() == again.keys()
    assert all(torch.equal(gradients[name], again[name]) for name in gradients)
    assert all(torch.equal(buffers[name], same_buffers[name]) for name in buffers)
    assert any(g.abs().sum() > 0 for g in gradients.values())


def test_only_spikes_are_kept_and_they_as_bytes():
    def n_bytes(kept):
        return sum(n * torch.empty((), dtype=dtype).element_size() for dtype, n in kept)

    _, _, kept = a_step(False)
    _, _, little = a_step(True)
    assert any(dtype == torch.uint8 for dtype, _ in little)
    assert n_bytes(little) < 0.5 * n_bytes(kept)


def test_without_gradients_nothing_is_kept():
    model = TorchNetwork(small_convolutional(), low_memory=True).eval()
    with torch.no_grad():
        logits = model(torch.rand(2, 3, 8, 8))
    assert not logits.requires_grad
