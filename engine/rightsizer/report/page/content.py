"""What a page is made of: tables, and charts with a table beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rightsizer.candidates import differing
from rightsizer.recommendation import Recommendation
from rightsizer.report.layout import label, one_line
from rightsizer.report.page import charts


@dataclass(frozen=True)
class Table:
    """Headers and rows of cells; a cell's lines stand below one another."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    bulk: bool = False
    """Whether it is left out of print."""


@dataclass(frozen=True)
class Figure:
    """A chart, what its marks mean, and its figures."""

    title: str
    chart: Markup
    table: Table
    legend: Sequence[tuple[Markup, str]] = ()
    note: str = ""


def drawing(svg: str) -> Markup:
    """A chart of ours as markup: `charts` escapes the words in it."""
    return Markup(svg)


def legend(names: Sequence[str]) -> list[tuple[Markup, str]]:
    """Each series' marker and name, in the order of their numbers."""
    return [(drawing(charts.key(number)), name) for number, name in enumerate(names)]


def row_name(row: Recommendation, shared: Mapping[str, str]) -> str:
    """A recommendation's candidate, on one line, without the variables that all share."""
    return one_line(label(row.instance_type, differing(row.environment, shared), row.command))


def stacked(*lines: str) -> str:
    """A cell of several lines; empty ones are left out."""
    return "\n".join(one_line(line) for line in lines if line)
