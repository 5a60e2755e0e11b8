"""What the processor has, unless Numba is told to compile for another one (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES)."""

from llvmlite.binding import get_host_cpu_features
from numba import config

_IS_HOST = config.CPU_NAME is None and config.CPU_FEATURES is None  # type: ignore[attr-defined]
_FOUND = get_host_cpu_features() if _IS_HOST else {}
HAS_AVX512 = all(_FOUND.get(name) for name in ("avx512f", "avx512bw", "avx512dq", "avx512vl"))
HAS_VNNI, HAS_GFNI = (HAS_AVX512 and bool(_FOUND.get(name)) for name in ("avx512vnni", "gfni"))
