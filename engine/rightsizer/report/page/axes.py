"""What the charts stand on: scales from values to pixels, round ticks, the frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from rightsizer.report.layout import one_line
from rightsizer.units import significant

WIDTH, HEIGHT = 620, 310
LEFT, RIGHT, TOP, BOTTOM = 74, 20, 22, 46
TICKS = 5
LOG_SPAN = 12.0
"""Values further apart than this many times are read on a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows. `from_zero`: a linear one begins there."""

    title: str
    text: Callable[[float], str] = significant
    may_be_log: bool = False
    from_zero: bool = False


@dataclass(frozen=True)
class Scale:
    """Values to pixels; what lies outside is drawn at the edge."""

    low: float
    high: float
    first: float
    last: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = 0.5 if high == low else (at - low) / (high - low)
        return self.first + share * (self.last - self.first)


def scale_of(axis: Axis, values: Sequence[float], first: float, last: float) -> Scale:
    """A scale with a little room around the values."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if axis.may_be_log and low > 0 and high / low > LOG_SPAN:
        return Scale(low / 1.2, high * 1.2, first, last, is_log=True)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(0.0 if axis.from_zero else max(0.0, low - margin), high + margin, first, last)


def ticks(scale: Scale) -> list[float]:
    """Round numbers in its range, about `TICKS` of them."""
    low, high = scale.low, scale.high
    if scale.is_log and high / low > 8:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for marks in ((1, 2, 5), (1, 3), (1,)):
            inside = [m * 10.0**p for p in powers for m in marks if low <= m * 10.0**p <= high]
            if len(inside) <= TICKS + 2:
                break
        return inside[:: math.ceil(len(inside) / (TICKS + 2))]
    power = 10.0 ** math.floor(math.log10((high - low) / TICKS or 1.0))
    step = power * next(m for m in (1, 2, 5, 10) if (high - low) / (power * m) <= TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def frame(x: Axis, y: Axis, to_x: Scale, to_y: Scale, width: float = WIDTH) -> str:
    """Grid, ticks and titles."""
    bottom, right = HEIGHT - BOTTOM, width - RIGHT
    parts = []
    for tick in ticks(to_y):
        parts.append(line(LEFT, to_y(tick), right, to_y(tick), "grid"))
        parts.append(text(LEFT - 6, to_y(tick) + 4, y.text(tick), "end"))
    for tick in ticks(to_x):
        parts.append(line(to_x(tick), bottom, to_x(tick), bottom + 4, "axis"))
        parts.append(text(to_x(tick), bottom + 17, x.text(tick), "middle"))
    parts.append(line(LEFT, bottom, right, bottom, "axis"))
    note = " (log scale)"
    parts.append(
        text((LEFT + right) / 2, HEIGHT - 7, x.title + (note if to_x.is_log else ""), "middle")
    )
    middle, title = (TOP + bottom) / 2, y.title + (note if to_y.is_log else "")
    parts.append(
        f'<text x="14" y="{middle:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 14 {middle:.0f})">{escaped(title)}</text>'
    )
    return "".join(parts)


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(words)}</text>'


def escaped(words: str) -> str:
    """Words as markup that shows them, on one line and in printable characters."""
    return escape(one_line(words))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line; `kind` is its class in the page's style."""
    where = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {where} class="{kind}"/>'
