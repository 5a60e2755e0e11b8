"""Runs a synaptic graph: two engines, input codings, and the plain reference that defines meaning."""

from .activity import Activity as Activity
from .activity import Layer as Layer
from .activity import join_activities as join_activities
from .activity import load_activity as load_activity
from .bit_plan import why_not_bits as why_not_bits
from .compiling import when_compiling as when_compiling
from .encode import encode as encode
from .engine import available_cores as available_cores
from .engine import simulate as simulate
from .errors import SimulationError as SimulationError
from .errors import check_whole as check_whole
from .reference import Trace as Trace
from .reference import run_reference as run_reference
from .samples import Samples as Samples
from .samples import as_samples as as_samples
from .samples import part_of as part_of
from .verify import Divergence as Divergence
from .verify import SpikeComparison as SpikeComparison
from .verify import compare_spikes as compare_spikes
