"""Charts as SVG text. Colours are the style's: Okabe and Ito's, which colour-blind readers can tell
apart; each series has a marker of its own too, and words from outside are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rightsizer.analysis.figures import Interval
from rightsizer.report.page.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Scale,
    escaped,
    frame,
    line,
    scale_of,
    text,
    ticks,
)

COLOURS = 7
"""Classes `s0` to `s6` of the style."""
SHAPES = ("circle", "square", "diamond", "triangle")
LETTER_WIDTH, LETTER_HEIGHT = 7.5, 13.0


@dataclass(frozen=True)
class Point:
    """A figure with its intervals; `label` stands beside it where there is room."""

    x: float
    y: float
    x_ci: Interval | None = None
    y_ci: Interval | None = None
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points joined in their order, drawn in the style of a number; `key` names it at its end."""

    number: int
    points: Sequence[Point]
    key: str = ""
    dashed: bool = False
    marked: bool = True


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis; shaded as far as `shaded_to`."""

    begin: float
    end: float
    shaded_to: float
    label: str = ""


def scatter(title: str, x: Axis, y: Axis, points: Sequence[Point], front: Sequence[int]) -> str:
    """Points with the bars of their intervals; those at the places of the `front` are joined."""
    to_x, to_y = _scales(x, y, points, WIDTH)
    labels = _Labels([(to_x(point.x), to_y(point.y)) for point in points])
    joined = " ".join(f"{to_x(points[i].x):.1f},{to_y(points[i].y):.1f}" for i in front)
    parts = [frame(x, y, to_x, to_y), f'<polyline points="{joined}" class="front"/>']
    for number, point in enumerate(points):
        parts += [_drawn(number, point, to_x, to_y)]
    # The front's first: theirs are the labels that must find room.
    for number in dict.fromkeys([*front, *range(len(points))]):
        parts.append(labels.beside(to_x(points[number].x), to_y(points[number].y), points[number]))
    return _svg(title, parts)


def lines(
    title: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    *,
    limit: float | None = None,
    at: tuple[float, Interval | None] | None = None,
    bands: Sequence[Band] = (),
    width: float = WIDTH,
) -> str:
    """Lines, a horizontal one at the `limit`, a vertical one `at` a value with its interval."""
    points = [point for one in series for point in one.points]
    xs = [v for band in bands for v in (band.begin, band.end)]
    xs += [] if at is None else [at[0], *_ends(at[1])]
    to_x, to_y = _scales(x, y, points, width, xs, [] if limit is None else [limit])
    bottom = HEIGHT - BOTTOM
    parts = _bands(bands, to_x)
    if at is not None:
        low, high = at[1] or (None, None)
        if low is not None and high is not None:
            parts.append(_shade(to_x(low), to_x(high), "interval"))
        parts.append(line(to_x(at[0]), TOP, to_x(at[0]), bottom, "at"))
    parts.append(frame(x, y, to_x, to_y, width))
    if limit is not None:
        parts.append(line(LEFT, to_y(limit), width - RIGHT, to_y(limit), "limit"))
    labels = _Labels([(to_x(point.x), to_y(point.y)) for point in points])
    for one in series:
        where = " ".join(f"{to_x(p.x):.1f},{to_y(p.y):.1f}" for p in one.points)
        kind = f"s{one.number % COLOURS} line{' dashed' if one.dashed else ''}"
        parts.append(f'<polyline points="{where}" class="{kind}"/>')
        if one.marked:
            parts += [_drawn(one.number, point, to_x, to_y, small=True) for point in one.points]
    for one in series:
        if one.key and one.points:
            last = one.points[-1]
            parts.append(labels.beside(to_x(last.x), to_y(last.y), Point(0, 0, label=one.key)))
    if limit is not None:  # over the lines
        parts.append(text(LEFT + 4, to_y(limit) - 4, f"limit {y.text(limit)}"))
    return _svg(title, parts, width=width)


def ratios(title: str, axis: Axis, rows: Sequence[tuple[str, float, Interval | None]]) -> str:
    """One row a ratio with its interval, about a line at 1; its name above it."""
    values = [1.0, *(v for _, ratio, ci in rows for v in (ratio, *_ends(ci)))]
    row_height = 40
    bottom = TOP + row_height * len(rows)
    to_x = Scale(min(values) / 1.1, max(values) * 1.1, LEFT, WIDTH - RIGHT, is_log=True)
    parts = [line(to_x(1.0), TOP - 10, to_x(1.0), bottom, "at")]
    for tick in ticks(to_x):
        parts.append(line(to_x(tick), bottom, to_x(tick), bottom + 4, "axis"))
        parts.append(text(to_x(tick), bottom + 17, axis.text(tick), "middle"))
    parts.append(line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"))
    parts.append(text((LEFT + WIDTH) / 2, bottom + 38, axis.title, "middle"))
    for number, (name, ratio, ci) in enumerate(rows):
        y = TOP + row_height * (number + 0.65)
        parts.append(text(LEFT, y - 12, name))
        whole = Scale(0, 1, y, y)
        parts.append(_drawn(0, Point(ratio, 0.5, ci), to_x, whole))
    return _svg(title, parts, bottom + BOTTOM)


def key(number: int) -> str:
    """A series' marker by itself, for a legend."""
    return f'<svg viewBox="0 0 16 16" class="key" aria-hidden="true">{_marker(number, 8, 8)}</svg>'


class _Labels:
    """Places words where they cover neither a point nor one another; leaves out what has no room.

    The table beside the chart has them all.
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self.taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]

    def beside(self, x: float, y: float, point: Point) -> str:
        width = LETTER_WIDTH * len(point.label)
        for dx, dy in ((7, -7), (7, 16), (-7 - width, -7), (-7 - width, 16), (9, 4)):
            left, base = x + dx, y + dy
            box = (left, base - LETTER_HEIGHT + 3, left + width, base)
            if point.label and not any(_overlap(box, other) for other in self.taken):
                self.taken.append(box)
                return text(left, base, point.label)
        return ""


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _scales(
    x: Axis,
    y: Axis,
    points: Sequence[Point],
    width: float,
    xs: Sequence[float] = (),
    ys: Sequence[float] = (),
) -> tuple[Scale, Scale]:
    every_x = [*xs, *(v for p in points for v in (p.x, *_ends(p.x_ci)))]
    every_y = [*ys, *(v for p in points for v in (p.y, *_ends(p.y_ci)))]
    return (
        scale_of(x, every_x, LEFT, width - RIGHT),
        scale_of(y, every_y, HEIGHT - BOTTOM, TOP),
    )


def _drawn(number: int, point: Point, to_x: Scale, to_y: Scale, *, small: bool = False) -> str:
    """A marker and the bars of its intervals; an open end's is dashed, as far as the chart."""
    at_x, at_y = to_x(point.x), to_y(point.y)
    parts = []
    if point.x_ci is not None:
        low, high = point.x_ci
        parts += [line(_end(low, to_x, to_x.first), at_y, at_x, at_y, _bar(number, low))]
        parts += [line(at_x, at_y, _end(high, to_x, to_x.last), at_y, _bar(number, high))]
    if point.y_ci is not None:
        low, high = point.y_ci
        parts += [line(at_x, _end(low, to_y, to_y.first), at_x, at_y, _bar(number, low))]
        parts += [line(at_x, at_y, at_x, _end(high, to_y, to_y.last), _bar(number, high))]
    return "".join([*parts, _marker(number, at_x, at_y, 3.0 if small else 5.0)])


def _end(value: float | None, to: Scale, edge: float) -> float:
    return edge if value is None else to(value)


def _bar(number: int, end: float | None) -> str:
    return f"s{number % COLOURS} bar{' dashed' if end is None else ''}"


def _bands(bands: Sequence[Band], to_x: Scale) -> list[str]:
    """Begin, shade and label of each; a label that would run into the one before is left out."""
    parts, free = [], 0.0
    for band in bands:
        left = to_x(band.begin)
        parts.append(line(left, TOP, left, HEIGHT - BOTTOM, "grid"))
        parts.append(_shade(left, to_x(band.shaded_to), "shade"))
        if left >= free:
            parts.append(text(left + 3, TOP - 6, band.label))
            free = left + LETTER_WIDTH * (len(band.label) + 1)
    return parts


def _shade(left: float, right: float, kind: str) -> str:
    size = f'width="{max(0.0, right - left):.1f}" height="{HEIGHT - BOTTOM - TOP}"'
    return f'<rect x="{left:.1f}" y="{TOP}" {size} class="{kind}"/>'


def _marker(number: int, x: float, y: float, r: float = 5.0) -> str:
    kind = f'class="s{number % COLOURS} dot"'
    match SHAPES[number % len(SHAPES)]:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {kind}/>'
        case "square":
            corners = [(-r, -r), (r, -r), (r, r), (-r, r)]
        case "diamond":
            corners = [(0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)]
        case _:
            corners = [(0, -1.2 * r), (1.2 * r, r), (-1.2 * r, r)]
    where = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{where}" {kind}/>'


def _svg(title: str, parts: Sequence[str], height: float = HEIGHT, width: float = WIDTH) -> str:
    name = escaped(title)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{name}"><title>{name}</title>{"".join(parts)}</svg>'
    )


def _ends(ci: Interval | None) -> list[float]:
    return [] if ci is None else [end for end in ci if end is not None]
