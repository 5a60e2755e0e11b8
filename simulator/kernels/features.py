"""What the processor has, unless Numba is told to compile for another one (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES)."""

from llvmlite.binding import get_host_cpu_features
from numba import config

_FOUND = get_host_cpu_features() if config.CPU_NAME is None and config.CPU_FEATURES is None else {}  # type: ignore[attr-defined]
HAS_AVX512, HAS_VNNI = (bool(_FOUND.get(name)) for name in ("avx512f", "avx512vnni"))
HAS_GFNI = HAS_AVX512 and bool(_FOUND.get("gfni"))
