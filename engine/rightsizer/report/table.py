"""The result as people read it: the recommendations, then effects, rejected ones and doubts."""

from __future__ import annotations

from rightsizer.report import in_common
from rightsizer.report.columns import RESULT_COLUMNS, result_cells
from rightsizer.report.entries import section_text, sections
from rightsizer.report.layout import aligned
from rightsizer.report.terminal import terminal_table
from rightsizer.results import Job


def result_table(job: Job, width: int | None) -> str:
    """The whole result as text, without a newline at the end.

    `width` is the terminal's; None where there is no terminal: then nothing is wrapped or cut, a
    row is one line and headers are whole.
    """
    parts = []
    common: dict[str, str] = {}
    if width is not None:
        job, common = in_common.of_job(job)
    if job.recommendations and width is None:
        headers = [column.header for column in RESULT_COLUMNS]
        parts.append("\n".join(aligned(headers, result_cells(job))))
    elif job.recommendations and width is not None:
        parts.append(terminal_table(job, width))
    if common and width is not None:
        parts.append(in_common.said_once(common, width))
    parts += [section_text(section, width) for section in sections(job)]
    return "\n\n".join(parts)
