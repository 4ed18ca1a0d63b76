"""Progress on standard error while a job runs: a display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live

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
from rightsizer.report.board import (
    Board,
    Doing,
    finished_line,
    rates,
    render,
    step_result,
    trial_result,
)
from rightsizer.report.layout import one_line
from rightsizer.report.shared import shared_line
from rightsizer.units import counted, duration, milliseconds

LINE_EVERY_S = 10.0
"""Where there is no terminal, a running step says how it goes this often."""

OnEvent = Callable[[Event], None]


@contextmanager
def progress_display(
    stream: TextIO,
    is_terminal: bool,
    clock: Callable[[], float] = time.monotonic,
    notice: Callable[[], str] = lambda: "",
) -> Iterator[OnEvent]:
    """Show a job's events on `stream`; yields what is to be called with each of them.

    The terminal is as it was when the context is left, however it is left. A terminal shows what
    `notice` says below the rest, within a quarter of a second: what is written to it by others is
    painted over (a signal handler sets it and need not touch the terminal).
    """
    console = Console(file=stream, force_terminal=is_terminal, highlight=False)
    if not is_terminal or console.is_dumb_terminal:
        yield _Lines(stream, clock)
        return
    display = _Display(console, clock, notice)
    try:
        yield display
    finally:
        display.stop()


class _Display:
    """Finished trials as lines that stay, and below them what is going on now."""

    def __init__(
        self, console: Console, clock: Callable[[], float], notice: Callable[[], str]
    ) -> None:
        self._board = Board()
        self._live = Live(
            console=console,
            get_renderable=lambda: render(self._board, clock(), notice()),
            transient=True,
            # Standard output is for results; redirected, they would go to standard error.
            redirect_stdout=False,
        )
        self._clock = clock
        self._shared: Mapping[str, str] = {}
        """As it was told last: two jobs that are measured together say the same."""

    def __call__(self, event: Event) -> None:
        # One assignment of a frozen value: the refreshing thread sees the old board or the new.
        self._board = self._board.after(event, self._clock())
        # Not before the first event: until then the command itself may write to the terminal.
        self._live.start()
        if isinstance(event, JobStarted) and event.shared != self._shared:
            self._shared = event.shared
            self._live.console.print(shared_line(event.shared), markup=False)
        if isinstance(event, TrialEnded):
            self._live.console.print(finished_line(event))
        self._live.refresh()

    def stop(self) -> None:
        """Take the display away and give the cursor back."""
        self._live.stop()


class _Lines:
    """One line for each thing worth knowing."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream, self._clock = stream, clock
        self._board = Board()
        self._next_s: dict[str, float] = {}
        """When a trial's step tells next how it goes, by trial."""

    def __call__(self, event: Event) -> None:
        now_s = self._clock()
        self._board = self._board.after(event, now_s)
        if isinstance(event, StepStarted):
            self._next_s[event.trial_id] = LINE_EVERY_S
        if isinstance(event, StepProgress):
            due_s, elapsed_s = self._next_s.get(event.trial_id, 0.0), event.progress.elapsed_s
            if elapsed_s < due_s:
                return
            # From the step's own clock: a late event does not move the ones after it.
            self._next_s[event.trial_id] = due_s + LINE_EVERY_S * (
                1 + (elapsed_s - due_s) // LINE_EVERY_S
            )
        text = line_of(event, self._board, now_s)
        if text:
            print(text, file=self._stream, flush=True)


def line_of(event: Event, board: Board, now_s: float) -> str:
    """An event as a plain line, on the board that it has led to; empty where it needs none."""
    match event:
        case JobStarted():
            refused = f", {counted(event.refused, 'candidate')} cannot run" if event.refused else ""
            expected = f"about {duration(event.expected_s)}"
            return f"job {event.job_id}: {counted(event.trials, 'trial')}{refused}, {expected}"
        case TrialEnded():
            name = f"trial {event.number}/{event.of}  {one_line(event.label)}"
            detail = f"  {one_line(event.detail)}" if event.detail else ""
            return f"{name}: {trial_result(event)}  {duration(event.wall_s)}{detail}"
        case JobEnded():
            return f"job {event.job_id}: {event.status} after {duration(event.wall_s)}"
    doing = board.of(event.trial_id)
    return "" if doing is None else _line_of_trial(event, doing, board.left(now_s))


def _line_of_trial(event: Event, doing: Doing, left: str) -> str:
    match event:
        case TrialStarted():
            host = one_line(event.host)
            label = one_line(event.label)
            what = f"starting the server on {host}" if event.starts_server else "waiting for it"
            return f"{doing.name}  {label}: {what}, {left}"
        case ServerReady(ready_s=ready_s, probe_latency_ms=probe_ms):
            probe = "" if probe_ms is None else f", slowest probe {milliseconds(probe_ms)}"
            return f"{doing.name}  server ready in {duration(ready_s)}{probe}"
        case StepProgress() if doing.step is not None:
            clock = f"{duration(event.progress.elapsed_s)} of {duration(doing.step.duration_s)}"
            return (
                f"{doing.name}  {one_line(doing.step.label)}  {clock}  "
                f"{rates(event.progress)}  {left}"
            )
        case StepEnded():
            return f"{doing.name}  {one_line(event.figures.label)}  ended: {step_result(event)}"
    return ""
