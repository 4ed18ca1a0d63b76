"""Converting and formatting, in one place. Inside, all is seconds, nanoseconds, bytes, USD."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
HOURS_PER_MONTH = 730.0
"""8760 hours a year / 12."""
HOURS_PER_YEAR = 8760.0
MINUTES_PER_HOUR = 60.0
BYTES_PER_MIB = 1024**2
BYTES_PER_GIB = 1024**3

ABSENT = "-"


def per_min(per_s: float) -> float:
    """Events per second to events per minute."""
    return per_s * 60.0


def per_s(per_min: float) -> float:
    """Events per minute to events per second."""
    return per_min / 60.0


def duration(seconds: float) -> str:
    """`7 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def significant(value: float | None, digits: int = 3) -> str:
    """A plain decimal with about `digits` significant digits; whole part never rounded away."""
    if value is None:
        return ABSENT
    if value == 0:
        return "0"
    magnitude = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, digits - magnitude)}f}" if magnitude else f"{value:.{digits}g}"


def milliseconds(value_ms: float | None) -> str:
    """`71.3 ms`, three significant digits."""
    return ABSENT if value_ms is None else f"{significant(value_ms)} ms"


def usd(value: float | None) -> str:
    """Dollars: cents from one dollar up, four significant digits below."""
    if value is None:
        return ABSENT
    return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.4g}"


def hourly_usd(value: float | None) -> str:
    """A price an hour: four significant digits, as price lists give them."""
    return ABSENT if value is None else f"${value:,.4g}" if value < 1000 else f"${value:,.2f}"


def chance(probability: float | None) -> str:
    """A probability as `57 %`; `<1 %` and `>99 %` where it is not quite sure."""
    if probability is not None and probability < 0.005:
        return "<1 %"
    if probability is not None and probability > 0.995:
        return ">99 %"
    return percent(probability)


def percent(ratio: float | None) -> str:
    """A 0..1 ratio as a whole percentage."""
    return ABSENT if ratio is None else f"{100 * ratio:.0f} %"


def interval(bounds: tuple[float | None, float | None] | None, digits: int = 3) -> str:
    """`810 to 930`; an open end reads `or more`; no interval reads `-`."""
    if bounds is None or bounds == (None, None):
        return ABSENT
    low, high = bounds
    if high is None:
        return f"{significant(low, digits)} or more"
    if low is None:
        return f"up to {significant(high, digits)}"
    return f"{significant(low, digits)} to {significant(high, digits)}"


def given(value: float) -> str:
    """A number as its user gave it: `300`, `1,650`, `12.5`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"


def fine_percent(ratio: float) -> str:
    """A small ratio as a percentage of up to three significant digits: `0.4 %`, `1 %`."""
    return f"{100 * ratio:.3g} %"


def signed_percent(ratio: float) -> str:
    """A deviation: `+3.2 %`, `-0.4 %`."""
    return f"{100 * ratio:+.1f} %"


def size(count_bytes: int) -> str:
    """`200 B`, `250 kB`, `1.5 MB`."""
    for unit, bytes_each in (("MB", 1_000_000), ("kB", 1_000)):
        if count_bytes >= bytes_each:
            return f"{count_bytes / bytes_each:.4g} {unit}"
    return f"{count_bytes} B"


def factor(ratio: float) -> str:
    """How many times: `x1.52`."""
    return f"x{_hundredths(ratio)}"


def factors(bounds: tuple[float | None, float | None] | None) -> str:
    """An interval of factors: `1.40 to 1.65`; no interval, or an open end, reads `-`."""
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return ABSENT
    return f"{_hundredths(bounds[0])} to {_hundredths(bounds[1])}"


def _hundredths(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
