"""Pruning: which weights a network keeps."""

from .baselines import density_of as density_of
from .baselines import prune_at_random as prune_at_random
from .baselines import prune_by_magnitude as prune_by_magnitude
from .baselines import prune_like as prune_like
from .harp import DIGITS as DIGITS
from .harp import Rates as Rates
from .harp import attach_rates as attach_rates
from .hydra import attach_scores as attach_scores
from .patterns import Pattern as Pattern
from .rewire import rewire as rewire
from .rewire import share_to_move as share_to_move
from .rewire import watch_gradients as watch_gradients
from .scores import n_zeroed as n_zeroed
from .scores import top_k_mask as top_k_mask
