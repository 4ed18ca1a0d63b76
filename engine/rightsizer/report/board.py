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
from rightsizer.traffic.base import Progress
from rightsizer.units import counted, duration, fine_percent, milliseconds, significant

BAR_WIDTH = 24
RESULT_WIDTH = len("at least 1,234/min closed  P95 1,234 ms")
"""Holds `548/min  P95 243 ms`: mostly, the names of finished trials stand in line."""


@dataclass(frozen=True)
class Board:
    """What the display knows. Times are of the display's own clock, s."""

    job_id: str = ""
    latest: Event | None = None
    since_s: float = 0.0
    """When the trial, and then its step, began."""
    ends_s: float | None = None
    """When the job will end, roughly."""
    trial: TrialStarted | None = None
    step: StepStarted | None = None
    progress: Progress | None = None

    def after(self, event: Event, now_s: float) -> Board:
        """The board once `event` has happened."""
        board = replace(self, latest=event)
        match event:
            case JobStarted():
                return replace(board, job_id=event.job_id, ends_s=now_s + event.expected_s)
            case TrialStarted():
                return replace(
                    board,
                    trial=event,
                    step=None,
                    progress=None,
                    since_s=now_s,
                    ends_s=now_s + event.left_s,
                )
            case StepStarted():
                return replace(board, step=event, progress=None, since_s=now_s)
            case StepProgress():
                begun_s = now_s - event.progress.elapsed_s
                return replace(
                    board,
                    progress=event.progress,
                    since_s=begun_s,
                    ends_s=now_s + event.left_s,
                )
        return board

    def left(self, now_s: float) -> str:
        """`3 min 10 s left`."""
        if self.ends_s is None:
            return ""
        return f"{duration(self.ends_s - now_s)} left" if self.ends_s > now_s else "nearly done"

    @property
    def trial_name(self) -> str:
        """`trial 2/4`."""
        return "" if self.trial is None else f"trial {self.trial.number}/{self.trial.of}"

    @property
    def step_name(self) -> str:
        """`step 2/3`; `step 2` where nobody knows how many there will be."""
        if self.step is None:
            return ""
        of = "" if self.step.of is None else f"/{self.step.of}"
        return f"step {self.step.number}{of}"


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
    name = Text(one_line(event.label))
    if event.detail:
        name.append(f"  {one_line(event.detail)}", "dim")
    result = Text(trial_result(event).ljust(RESULT_WIDTH), style, no_wrap=True)
    number = Text(f"{event.number}/{event.of}", "dim", no_wrap=True)
    return _row(number, result, Text(duration(event.wall_s), "dim", no_wrap=True), name)


def render(board: Board, now_s: float, notice: str = "") -> RenderableType:
    """The board as it stands on the screen, a notice to the user last."""
    if board.latest is None or isinstance(board.latest, JobEnded):
        return Text("")
    lines: list[RenderableType] = [_row(Text(board.job_id, "bold"), Text(board.left(now_s), "dim"))]
    if board.trial is not None:
        name = board.trial_name.capitalize()
        lines.append(_line((f"{name}  ", "bold"), (one_line(board.trial.label), "cyan")))
        lines += _doing(board, board.trial, now_s)
    if notice:
        lines.append(Text(notice, "yellow"))
    return Group(Text(""), *lines)


def _doing(board: Board, trial: TrialStarted, now_s: float) -> list[RenderableType]:
    match board.latest:
        case TrialStarted():
            waited = duration(now_s - board.since_s)
            if not trial.starts_server:
                return [_line(f"Waiting for an answer, {waited}")]
            return [_line(f"Starting the server on {one_line(trial.host)}, {waited}")]
        case ServerReady(ready_s=ready_s, probe_latency_ms=probe_ms):
            probe = "" if probe_ms is None else f"; slowest probe {milliseconds(probe_ms)}"
            return [_line(f"Server ready in {duration(ready_s)}{probe}")]
        case StepEnded() as ended if board.step is not None:
            return [_line(f"{_step_title(board, board.step)}  {step_result(ended)}")]
        case TrialEnded():
            return [_line("Saved")]
    return [] if board.step is None else _running_step(board, board.step, now_s)


def _running_step(board: Board, step: StepStarted, now_s: float) -> list[RenderableType]:
    elapsed_s = max(0.0, now_s - board.since_s)
    shown_s = min(elapsed_s, step.duration_s)
    clock = f"{duration(shown_s)} of {duration(step.duration_s)}"
    if elapsed_s > step.duration_s:
        clock = "draining"
    bar = ProgressBar(step.duration_s, shown_s, width=BAR_WIDTH)
    lines: list[RenderableType] = [_row(_step_title(board, step), bar, Text(clock))]
    if board.progress is not None:
        style = "red" if board.progress.errors else ""
        lines.append(_line((rates(board.progress), style)))
    return lines


def _step_title(board: Board, step: StepStarted) -> str:
    return f"{board.step_name.capitalize()}  {one_line(step.label)}"


def _row(*cells: RenderableType) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(*cells)
    return grid


def _line(*parts: str | tuple[str, str]) -> Text:
    text = Text.assemble(*parts)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
