"""The live display as a value: events in, lines of text out. No clock and no terminal here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rightsizer.events import (
    Event,
    JobEnded,
    JobStarted,
    ServerReady,
    StepEnded,
    StepProgress,
    StepStarted,
    TrialEnded,
    TrialStarted,
)
from rightsizer.report.layout import one_line
from rightsizer.traffic.records import Progress
from rightsizer.units import counted, duration, fine_percent, milliseconds, significant

BAR_WIDTH = 24
RESULT_WIDTH = len("at least 1,234/min closed  P95 1,234 ms")
"""Holds `548/min  P95 243 ms`: mostly, the names of finished trials stand in line."""


@dataclass(frozen=True)
class Doing:
    """What the display knows of one trial. Times are of the display's own clock, s."""

    trial: TrialStarted
    latest: Event
    since_s: float
    """When the trial, and then its step, began."""
    step: StepStarted | None = None
    progress: Progress | None = None

    def after(self, event: Event, now_s: float) -> Doing:
        """The same once `event` has happened to it."""
        doing = replace(self, latest=event)
        match event:
            case StepStarted():
                return replace(doing, step=event, progress=None, since_s=now_s)
            case StepProgress():
                begun_s = now_s - event.progress.elapsed_s
                return replace(doing, progress=event.progress, since_s=begun_s)
        return doing

    @property
    def trial_name(self) -> str:
        """`trial 2/4`."""
        return f"trial {self.trial.number}/{self.trial.of}"

    @property
    def step_name(self) -> str:
        """`step 2/3`; `step 2` where nobody knows how many there will be."""
        if self.step is None:
            return ""
        of = "" if self.step.of is None else f"/{self.step.of}"
        return f"step {self.step.number}{of}"

    @property
    def name(self) -> str:
        """`trial 2/4  step 2/3`."""
        return f"{self.trial_name}  {self.step_name}".strip()


@dataclass(frozen=True)
class Board:
    """What the display knows. Times are of the display's own clock, s."""

    job_id: str = ""
    ends_s: float | None = None
    """When the job will end, roughly."""
    doing: tuple[Doing, ...] = ()
    """Trials that run, in the order of their starts; an ended one until the next begins."""
    is_on: bool = False

    def after(self, event: Event, now_s: float) -> Board:
        """The board once `event` has happened."""
        board = replace(self, is_on=not isinstance(event, JobEnded))
        match event:
            case JobStarted():
                return replace(board, job_id=event.job_id, ends_s=now_s + event.expected_s)
            case TrialStarted():
                still = tuple(d for d in self.doing if not isinstance(d.latest, TrialEnded))
                begun = Doing(event, event, now_s)
                return replace(board, doing=(*still, begun), ends_s=now_s + event.left_s)
            case StepProgress():
                board = replace(board, ends_s=now_s + event.left_s)
            case JobEnded():
                return board
        doing = tuple(
            d.after(event, now_s) if d.trial.trial_id == event.trial_id else d for d in self.doing
        )
        return replace(board, doing=doing)

    def of(self, trial_id: str) -> Doing | None:
        """A trial on the board."""
        return next((d for d in self.doing if d.trial.trial_id == trial_id), None)

    def left(self, now_s: float) -> str:
        """`3 min 10 s left`."""
        if self.ends_s is None:
            return ""
        return f"{duration(self.ends_s - now_s)} left" if self.ends_s > now_s else "nearly done"


def rates(progress: Progress) -> str:
    """What the last seconds brought."""
    return (
        f"{significant(progress.per_s)} invocations/s  "
        f"P95 {milliseconds(progress.p95_ms)}  {counted(progress.errors, 'error')}"
    )


def step_result(event: StepEnded) -> str:
    """What a step came to."""
    figures = event.figures
    return (
        f"{significant(figures.achieved_per_s)} invocations/s  "
        f"P95 {milliseconds(figures.p95_ms)}  {fine_percent(figures.error_ratio)} errors  "
        f"{figures.verdict}"
    )


def trial_result(event: TrialEnded) -> str:
    """What a trial came to, in short."""
    if event.max_invocations_per_min is not None:
        bound = "at least " if event.max_kind == "at_least" else ""
        found = f"{bound}{significant(event.max_invocations_per_min)}/min {event.basis}"
        if event.percentile is not None:
            found += f"  {event.percentile} {milliseconds(event.model_latency_ms)}"
        return found if event.state == "succeeded" else f"{found}  {event.state}"
    if event.state == "succeeded":
        return "nothing within the limits"
    return event.state if event.reason is None else f"{event.state}, {event.reason}"


def finished_line(event: TrialEnded) -> RenderableType:
    """The line that stays of a trial; what differs between candidates is never cut off it."""
    good = event.max_invocations_per_min is not None
    style = "green" if good else "yellow" if event.state == "succeeded" else "red"
    name = Text(one_line(event.brief or event.label))
    if event.detail:
        name.append(f"  {one_line(event.detail)}", "dim")
    result = Text(trial_result(event).ljust(RESULT_WIDTH), style, no_wrap=True)
    number = Text(f"{event.number}/{event.of}", "dim", no_wrap=True)
    return _row(number, result, Text(duration(event.wall_s), "dim", no_wrap=True), name)


def render(board: Board, now_s: float, notice: str = "") -> RenderableType:
    """The board as it stands on the screen, a notice to the user last."""
    if not board.is_on:
        return Text("")
    lines: list[RenderableType] = [_row(Text(board.job_id, "bold"), Text(board.left(now_s), "dim"))]
    for doing in board.doing:
        name = doing.trial_name.capitalize()
        where = f"  {one_line(doing.trial.host)}" if len(board.doing) > 1 else ""
        what = one_line(doing.trial.brief or doing.trial.label)
        lines.append(_line((f"{name}  ", "bold"), (what, "cyan"), (where, "dim")))
        lines += _lines(doing, now_s)
    if notice:
        lines.append(Text(notice, "yellow"))
    return Group(Text(""), *lines)


def _lines(doing: Doing, now_s: float) -> list[RenderableType]:
    match doing.latest:
        case TrialStarted() as trial:
            waited = duration(now_s - doing.since_s)
            if not trial.starts_server:
                return [_line(f"Waiting for an answer, {waited}")]
            return [_line(f"Starting the server on {one_line(trial.host)}, {waited}")]
        case ServerReady(ready_s=ready_s, probe_latency_ms=probe_ms):
            probe = "" if probe_ms is None else f"; slowest probe {milliseconds(probe_ms)}"
            return [_line(f"Server ready in {duration(ready_s)}{probe}")]
        case StepEnded() as ended if doing.step is not None:
            return [_line(f"{_step_title(doing, doing.step)}  {step_result(ended)}")]
        case TrialEnded():
            return [_line("Saved")]
    return [] if doing.step is None else _running_step(doing, doing.step, now_s)


def _running_step(doing: Doing, step: StepStarted, now_s: float) -> list[RenderableType]:
    elapsed_s = max(0.0, now_s - doing.since_s)
    shown_s = min(elapsed_s, step.duration_s)
    clock = f"{duration(shown_s)} of {duration(step.duration_s)}"
    if elapsed_s > step.duration_s:
        clock = "draining"
    bar = ProgressBar(step.duration_s, shown_s, width=BAR_WIDTH)
    lines: list[RenderableType] = [_row(_step_title(doing, step), bar, Text(clock))]
    if doing.progress is not None:
        style = "red" if doing.progress.errors else ""
        lines.append(_line((rates(doing.progress), style)))
    return lines


def _step_title(doing: Doing, step: StepStarted) -> str:
    return f"{doing.step_name.capitalize()}  {one_line(step.label)}"


def _row(*cells: RenderableType) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(*cells)
    return grid


def _line(*parts: str | tuple[str, str]) -> Text:
    text = Text.assemble(*parts)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
