"""Compiled kernels, one family a file. They see arrays and scalars, check nothing, and count only events and visits.

A jitted function calls only jitted functions of its own file, and what writes its vector code (`_splat`, `_call`, ...)
is there as well: Numba's cache does not notice an edit in another file, and would go on running the old code.
Event lists: ids (n_samples, capacity) int32 holds, sample by sample, the neurons that emitted, in ascending order
within a step; starts (n_samples, n_block + 1) int64 partitions them into the steps of the block. values, same
layout, holds the numbers that graded or real-valued events carry; it is (n_samples, 0) for plain spikes.
Currents: (n_samples, ring, n_neurons); step t lives in slot t % ring. bits.py and planes.py have layouts of their own.
"""

from .convolution import multiply_convolution as multiply_convolution
from .convolution import push_convolution as push_convolution
from .events import bill as bill
from .events import count_spikes as count_spikes
from .events import count_visits as count_visits
from .events import list_events as list_events
from .events import list_flags as list_flags
from .events import list_spikes as list_spikes
from .events import spread_events as spread_events
from .flags import raise_flag as raise_flag
from .flags import watch as watch
from .general_neurons import STEPS as STEPS
from .general_neurons import advance as advance
from .neurons import LANES as LANES
from .neurons import update_float as update_float
from .neurons import update_integer as update_integer
from .scatter import narrow_targets as narrow_targets
from .scatter import push_csr as push_csr
from .scatter import push_csr_delayed as push_csr_delayed
from .scatter import split_rows as split_rows
