"""Pruning: which weights a network keeps."""

from .hydra import attach_scores as attach_scores
from .magnitude import density_of as density_of
from .magnitude import prune_by_magnitude as prune_by_magnitude
from .scores import n_zeroed as n_zeroed
from .scores import top_k_mask as top_k_mask
