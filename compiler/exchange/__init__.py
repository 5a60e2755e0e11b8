"""Exchange with other tools: NIR. The packages that this takes are imported on use."""

from .choices import FRAMEWORKS as FRAMEWORKS
from .choices import NirChoices as NirChoices
from .choices import framework_choices as framework_choices
from .from_nir import from_nir as from_nir
from .to_nir import to_nir as to_nir
from .to_nir import unsaid_in_nir as unsaid_in_nir
from .to_nir import write_nir as write_nir
