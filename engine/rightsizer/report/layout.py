"""Laying text out: rows of cells aligned for a file, lines folded to a terminal's width."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console, RenderableType

from rightsizer.units import ABSENT

_BREAK = re.compile(r"[-_=/., ]")
_PAINT = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|ms\b|s\b)")
_NO_BREAK_SPACE = "\u00a0"


def one_line(text: str) -> str:
    """Text on one line of printable characters: a server's words cannot break or paint ours."""
    joined = " ".join(_PAINT.sub("", text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def variables(environment: Mapping[str, str]) -> list[str]:
    """`K=V` of each variable, quoted as a shell would need it."""
    return [one_line(f"{key}={shlex.quote(value)}") for key, value in environment.items()]


def label(
    instance_type: str, environment: Mapping[str, str], command: Sequence[str] | None = None
) -> str:
    """`local.1cpu OMP_NUM_THREADS=1`, and the command of a candidate that brings its own."""
    return " ".join([instance_type, *variables(environment), *own_command(command)])


def own_command(command: Sequence[str] | None) -> list[str]:
    """`[python server.py]`; nothing for a candidate that runs the job's."""
    return [] if command is None else [one_line(f"[{' '.join(command)}]")]


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row, columns two spaces apart or more; no cell is empty, wrapped or cut."""
    cells = [[one_line(cell) or ABSENT for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def folded(text: str, width: int) -> list[str]:
    """Lines of at most `width`, broken after punctuation or spaces where there are any."""
    lines = []
    while len(text) > width:
        cut = max((found.end() for found in _BREAK.finditer(text, 0, width)), default=width)
        lines.append(text[:cut].rstrip())
        text = text[cut:]
    return [*lines, text]


def filled(text: str, width: int, indent: str = "", further: str = "") -> str:
    """Lines filled to a width; a number and its unit stay on one line."""
    lines = textwrap.fill(
        _BEFORE_UNIT.sub(_NO_BREAK_SPACE, text),
        max(20, width),
        initial_indent=indent,
        subsequent_indent=further,
        break_on_hyphens=False,
    )
    return lines.replace(_NO_BREAK_SPACE, " ")


def paragraph(text: str, width: int | None) -> str:
    """Indented, and where a width is given filled to it with its further lines set in deeper."""
    return f"  {text}" if width is None else filled(text, width, "  ", "      ")


def drawn(content: RenderableType, width: int) -> str:
    """What rich makes of it on a terminal of that width; TERM and NO_COLOR decide on styles."""
    out = StringIO()
    # A height too: with a width alone rich takes a dumb terminal for 80 columns wide.
    console = Console(file=out, force_terminal=True, width=width, height=25, highlight=False)
    console.print(content)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
