"""The page itself: a template filled with a job's values, all of them escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rightsizer.histories import TrialHistory
from rightsizer.report.entries import taught
from rightsizer.report.layout import one_line
from rightsizer.report.markdown import DEFINITIONS
from rightsizer.report.page.caveats import caveats, dropped_table, rejected_table
from rightsizer.report.page.curves import effects_figure, load_figures, overview
from rightsizer.report.page.progress import progress_figures
from rightsizer.report.page.ranking import cost_against_latency, ranked_table
from rightsizer.report.page.repeat import facts, spec_yaml, trials_table
from rightsizer.report.sentence import finding, question
from rightsizer.report.shared import shared_in, shared_line
from rightsizer.results import Job

MORE_DEFINITIONS = (
    ("Load", "invocations completed in a step's measured part, a minute."),
    (
        "Over time",
        "slices of a step: completed in them, and the latency of what started in them. Of so few "
        "requests that a percentile is close to the slowest of them: for the eye, no results.",
    ),
    ("PBest, Tied", "of raced candidates: the probability to be the best; not to be told from it."),
    ("Interval, CI", "95 %. None is given where an honest one cannot be had."),
    (
        "Doubt",
        "`blocks`: not to be relied on; `weakens`: may be off; `note`: what the number is.",
    ),
)
LIVE = ("pending", "running", "stopping")


def job_html(job: Job, histories: Mapping[str, TrialHistory], written: str) -> str:
    """The page of a job. `histories`: of its trials over time, by trial id; `written`: when."""
    environment = Environment(
        loader=PackageLoader("rightsizer.report.page", "templates"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.get_template("style.css").render()
    return environment.get_template("page.html").render(
        job=job,
        # Between style tags nothing is unescaped: quotes must stay what they are. It is ours.
        style=Markup(style),
        style_hash=_digest(style),
        is_live=job.status in LIVE,
        written=written,
        finding=one_line(finding(job)),
        question=question(job),
        ranked=ranked_table(job),
        shared=shared_line(shared_in(job)),
        cost=cost_against_latency(job),
        overview=overview(job),
        loads=load_figures(job),
        progress=progress_figures(job, histories),
        effects=effects_figure(job),
        taught=taught(job),
        caveats=caveats(job),
        rejected=rejected_table(job),
        dropped=dropped_table(job),
        definitions=[*DEFINITIONS, *MORE_DEFINITIONS],
        facts=facts(job),
        trials=trials_table(job),
        spec=spec_yaml(job),
    )


def _printable(value: object) -> object:
    """Words without what paints or turns them; it is escaped after this."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(c for c in value if c.isprintable() or c == "\n")


def _digest(style: str) -> str:
    """What the page's policy knows its only style by: any other, and every script, is refused."""
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
