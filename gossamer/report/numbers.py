"""Numbers as people read them."""

from math import isnan

NONE = "-"
_ENERGY = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_ALMOST = 0.9995  # rounded to three digits, this is one of the next unit


def count(n: int | float | None) -> str:
    """12,345; a mean per sample keeps one decimal below 100."""
    if n is None:
        return NONE
    return f"{n:,.1f}" if n < 99.95 and n != int(n) else f"{n:,.0f}"


def percent(share: float | None) -> str:
    """97.25 %."""
    return NONE if share is None or isnan(share) else f"{100 * share:.2f} %"


def energy(pj: float | None) -> str:
    """Picojoules in the unit that leaves one to three digits before the point."""
    if pj is None:
        return NONE
    scale, unit = next(((s, u) for s, u in _ENERGY if pj >= _ALMOST * s), _ENERGY[-1])
    return f"{_three_digits(pj / scale)} {unit}"


def size(n_bytes: int | None) -> str:
    """Bytes, KiB, MiB or GiB."""
    if n_bytes is None:
        return NONE
    scale, unit = next(((s, u) for s, u in _BYTES if n_bytes >= s), _BYTES[-1])
    return f"{n_bytes} B" if unit == "B" else f"{_three_digits(n_bytes / scale)} {unit}"


def duration(seconds: float | None) -> str:
    """120 ms, 12.3 s, 4:05 min or 1:02:03 h."""
    if seconds is None or isnan(seconds):
        return NONE
    if 0 < seconds < _ALMOST:
        return f"{_three_digits(1000 * seconds)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def fraction_of_255(x: float) -> str:
    """8/255 for what is a whole number of 8-bit grey levels, unless it is a round number itself, such as 0.2."""
    levels = 255 * x
    is_round = abs(100 * x - round(100 * x)) < 1e-9
    return f"{round(levels)}/255" if abs(levels - round(levels)) < 1e-9 and not is_round else f"{x:g}"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
