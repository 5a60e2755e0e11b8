"""Numbers as people read them."""

from math import isnan

_ENERGY = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
NONE = "-"


def count(n: int | float | None) -> str:
    """12,345; numbers per sample keep one decimal below 100."""
    if n is None:
        return NONE
    return f"{n:,.1f}" if isinstance(n, float) and n < 100 and n != int(n) else f"{n:,.0f}"


def percent(share: float | None) -> str:
    """97.25 %."""
    return NONE if share is None or isnan(share) else f"{100 * share:.2f} %"


def energy(pj: float | None) -> str:
    """Picojoules in the unit that leaves one to three digits before the point."""
    if pj is None:
        return NONE
    scale, unit = next(((s, u) for s, u in _ENERGY if pj >= s), _ENERGY[-1])
    return f"{_three_digits(pj / scale)} {unit}"


def size(n_bytes: int | None) -> str:
    """Bytes, KiB, MiB or GiB."""
    if n_bytes is None:
        return NONE
    for scale, unit in _BYTES:
        if n_bytes >= scale:
            return f"{_three_digits(n_bytes / scale)} {unit}"
    return f"{n_bytes} B"


def duration(seconds: float | None) -> str:
    """120 ms, 12.3 s, 4:05 min or 1:02:03 h."""
    if seconds is None or isnan(seconds):
        return NONE
    if seconds < 1:
        return f"{_three_digits(1000 * seconds)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
