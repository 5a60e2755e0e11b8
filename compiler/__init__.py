"""From a trained network to a synaptic graph: the IR, checkpoints, passes, lowering, NIR.

Works with numpy and scipy alone; `nir` is imported where a .nir file is read.
"""

from ..hwmodels import GossamerError as GossamerError
from .arrays import Array as Array
from .checkpoint import load_checkpoint as load_checkpoint
from .checkpoint import save_checkpoint as save_checkpoint
from .container import atomic_path as atomic_path
from .container import container_kind as container_kind
from .container import read_container as read_container
from .container import write_container as write_container
from .container import write_text as write_text
from .errors import CompileError as CompileError
from .graph import SynapticGraph as SynapticGraph
from .graph import load_graph as load_graph
from .ir import Connection as Connection
from .ir import InputCoding as InputCoding
from .ir import Network as Network
from .ir import Population as Population
from .lower import canonicalize as canonicalize
from .lower import compile_network as compile_network
from .lower import to_synaptic_graph as to_synaptic_graph
from .maps import AveragePool2d as AveragePool2d
from .maps import BatchNorm as BatchNorm
from .maps import Conv2d as Conv2d
from .maps import Dense as Dense
from .maps import Map as Map
from .maps import Scale as Scale
from .maps import Shape as Shape
from .maps import Sparse as Sparse
from .maps import SumPool2d as SumPool2d
from .maps import broadcast as broadcast
from .neurons import DECAY_UNIT as DECAY_UNIT
from .neurons import STATE_LIMIT as STATE_LIMIT
from .neurons import STATE_SHIFT as STATE_SHIFT
from .neurons import Neuron as Neuron
from .neurons import cuba as cuba
from .neurons import gate as gate
from .neurons import integrate_and_fire as integrate_and_fire
from .neurons import integrator as integrator
from .neurons import leaky_integrate_and_fire as leaky_integrate_and_fire
from .passes import apply_masks as apply_masks
from .passes import compose_maps as compose_maps
from .passes import fold_batch_norm as fold_batch_norm
from .passes import fuse_average_pooling as fuse_average_pooling
from .passes import quantize as quantize
from .projections import Csr as Csr
from .projections import Projection as Projection
from .projections import SharedCsr as SharedCsr
from .projections import index_dtype as index_dtype
from .projections import pooled_shape as pooled_shape
from .projections import pooled_to_source as pooled_to_source
from .projections import projection_to_maps as projection_to_maps
from .topology import topological_order as topological_order
