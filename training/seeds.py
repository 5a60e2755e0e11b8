"""Randomness as a pure function of where in a run it is drawn, so that a resumed run draws the same."""

import numpy as np
import torch


def seed_of(seed: int, *where: str | int) -> int:
    """A 63-bit seed for one place of a run, such as (seed, "dense", epoch, batch). Words and numbers may be mixed."""
    key = [seed]
    for part in where:
        key += [len(part), *part.encode()] if isinstance(part, str) else [part]
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def numpy_rng(seed: int, *where: str | int) -> np.random.Generator:
    """NumPy's generator for one place of a run."""
    return np.random.default_rng(seed_of(seed, *where))


def torch_rng(seed: int, *where: str | int) -> torch.Generator:
    """Torch's generator for one place of a run, on the CPU."""
    return torch.Generator().manual_seed(seed_of(seed, *where))
