"""A small attack without gradients, for tests of what uses one: random search with windows of one sign."""

import torch

from gossamer.training.attacks.gradient import project


def blind_search(model, x, y, *, eps, n_queries=100, generator=None):
    """The images that lower the margin most, of n_queries that are tried; the same windows for all images of a batch.

    Args:
        model: (batch, C, H, W) -> logits.
        x: (batch, C, H, W) images.
        y: (batch,) labels.
        eps: Largest change of a pixel.
        n_queries: Times that the model is asked.
        generator: Source of all that is drawn.
    """

    def signs(*shape):
        return torch.empty(shape).uniform_(-1, 1, generator=generator).sign()

    def margin(images):
        with torch.no_grad():
            logits = model(images)
        return logits.gather(1, y[:, None])[:, 0] - logits.scatter(1, y[:, None], -torch.inf).amax(1)

    n, channels, height, width = x.shape
    best = project(x + eps * signs(n, channels, 1, width), x, eps)
    lowest = margin(best)
    for query in range(1, n_queries):
        size = max(1, round((0.3 * (1 - query / n_queries)) ** 0.5 * min(height, width)))
        top = int(torch.randint(0, height - size + 1, (), generator=generator))
        left = int(torch.randint(0, width - size + 1, (), generator=generator))
        window = (slice(None), slice(None), slice(top, top + size), slice(left, left + size))
        tried = best.clone()
        tried[window] = (x[window] + eps * signs(n, channels, 1, 1)).clamp(0, 1)
        now = margin(tried)
        best = torch.where((now < lowest).reshape(-1, 1, 1, 1), tried, best)
        lowest = torch.minimum(now, lowest)
    return best
