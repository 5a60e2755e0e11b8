"""Passes: pure functions Network -> Network, one a file; each says in its first paragraph if it is exact or lossy."""

from .apply_masks import apply_masks as apply_masks
from .compose_maps import compose_maps as compose_maps
from .expand_joins import expand_joins as expand_joins
from .fold_batch_norm import fold_batch_norm as fold_batch_norm
from .fuse_average_pooling import fuse_average_pooling as fuse_average_pooling
from .quantize import quantize as quantize
