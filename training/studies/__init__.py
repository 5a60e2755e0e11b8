"""Studies: tables of networks that differ in how they became sparse. Each bundled one is a TOML file beside this."""

from .rows import METHODS as METHODS
from .rows import Method as Method
from .rows import Row as Row
from .rows import only as only
from .rows import rows_of as rows_of
from .study import Base as Base
from .study import Study as Study
from .study import list_studies as list_studies
from .study import load_study as load_study
