"""A job as a Markdown page: the finding, the table, its evidence, and what the words mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rightsizer.report.columns import RESULT_COLUMNS, result_cells
from rightsizer.report.entries import sections
from rightsizer.report.layout import one_line
from rightsizer.report.sentence import finding
from rightsizer.report.shared import shared_in, shared_line
from rightsizer.results import Job

DEFINITIONS = (
    (
        "Invocation",
        "an attempt answered 2xx, complete, in time and accepted by the response check.",
    ),
    (
        "MaxInvocations",
        "invocations a minute at which latency or errors reach their limit, of the whole fleet. "
        "Closed basis: the highest throughput among steps within the limits. `at_least`: the limit "
        "was never met. Interval: its 95 % interval.",
    ),
    (
        "Basis",
        "the arrival process of the maximum: `closed` (users in a loop) or `open` (arrivals that "
        "do not wait). The two are never compared.",
    ),
    (
        "ModelLatency",
        "the stated percentile in ms at that rate, by nearest rank on raw samples; timed-out and "
        "unfinished attempts count at the timeout.",
    ),
    (
        "CostPerInference",
        "price per hour / (60 x maximum), at full load; CostPerMillion is a million of them; "
        "CostPerHour and CostPerMonth (730 h) are the fleet's, in USD.",
    ),
    (
        "InitialInstanceCount",
        "the smallest fleet that carries the target: "
        "max(min_instances, ceil(target / (maximum x max_utilisation_ratio))) + spare_instances; "
        "CountAt70Percent: the same at 70 % of the maximum.",
    ),
    (
        "Bottleneck",
        "what runs out first, where the measured steps show it; else `-`.",
    ),
    (
        "Provenance",
        "`native`: measured on that type; `emulated`: on like hardware cut to size; `stand-in`: "
        "on a declared substitute; `projected`: computed.",
    ),
)
"""In short what the README defines in full."""

# An underscore within a word is no mark: names of variables stay readable in the source.
_SPECIAL = re.compile(r"([\\`*\[\]<|])")


def job_markdown(job: Job) -> str:
    """The page; every doubt is explained, not only the table's."""
    blocks = [
        f"# {job.name}",
        f"Job `{job.id}`, {job.status}, created {job.created}. Samples: `{job.samples_dir}`.",
        escaped(finding(job)),
    ]
    shared = shared_in(job)
    if job.recommendations:
        headers = [column.header for column in RESULT_COLUMNS]
        blocks += ["## Recommendations", markdown_table(headers, result_cells(job, shared))]
    if shared:
        blocks.append(escaped(shared_line(shared)))
    for section in sections(job, doubts_a_row=None):
        items = [f"- **{escaped(e.head)}**: {escaped(e.text)}" for e in section.entries]
        blocks += [f"## {section.title}", "\n".join(items)]
    items = [f"- **{word}**: {meaning}" for word, meaning in DEFINITIONS]
    blocks += ["## What the words mean", "\n".join(items)]
    return "\n\n".join(blocks)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are shown as they are."""
    lines = [headers, ["---"] * len(headers), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", one_line(text))
