"""What verbs that measure share: signals, the live display, and how they end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from rightsizer.cli.output import require_writable, write_json
from rightsizer.errors import ExitCode

if TYPE_CHECKING:
    from rightsizer.events import Event
    from rightsizer.stop_switch import StopSwitch

ABANDON_PRESSES = 3
SHOW_CURSOR = b"\x1b[?25h\n"


class Result(Protocol):
    """What a run comes to."""

    @property
    def exit_code(self) -> ExitCode: ...

    def document(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Result)


def measure(
    start: Callable[[Callable[[Event], None], StopSwitch], R],
    json_target: str | None,
    print_result: Callable[[R], None],
) -> None:
    """Run to the end with signals and display, print the result, exit with its code."""
    from rightsizer.events import JobStarted
    from rightsizer.report.live import progress_display
    from rightsizer.stop_switch import StopSwitch

    require_writable(json_target)
    switch = StopSwitch()
    is_terminal = sys.stderr.isatty()
    signals = Signals(switch, shown_by_display=is_terminal)
    display = progress_display(sys.stderr, is_terminal=is_terminal, notice=lambda: signals.notice)
    with display as show:

        def on_event(event: Event) -> None:
            # Whoever read our output may be gone; the measurement goes on.
            with suppress(OSError):
                if isinstance(event, JobStarted) and json_target != "-":
                    print(f"job {event.job_id}", flush=True)
                    print(f"results in {event.folder}", flush=True)
                show(event)

        result = start(on_event, switch)
    conclude(result, json_target, print_result, signals)


def conclude(
    result: R, json_target: str | None, print_result: Callable[[R], None], signals: Signals
) -> None:
    """Write and print the result, and exit with its code, or that of the signal that ended it."""
    with suppress(BrokenPipeError):
        if json_target is not None:
            write_json(result.document(), json_target)
        if json_target != "-":
            print()
            print_result(result)
        sys.stdout.flush()
    raise typer.Exit(signals.exit_code or result.exit_code)


class Signals:
    """First Ctrl-C ends the step and saves, the second stops the trial, the third abandons."""

    def __init__(self, switch: StopSwitch, *, shown_by_display: bool) -> None:
        self._switch = switch
        self._shown_by_display = shown_by_display
        self.notice = ""
        self.exit_code: ExitCode | None = None
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = ExitCode.INTERRUPTED
        presses = self._switch.press()
        if presses >= ABANDON_PRESSES:
            if self._shown_by_display:
                os.write(2, SHOW_CURSOR)
            # The guardian ends server and generator when this process is gone.
            os._exit(ExitCode.INTERRUPTED)
        said = {1: "ending the step; again to stop at once", 2: "stopping; again to abandon"}
        self.notice = said[presses]
        if not self._shown_by_display:
            with suppress(OSError):
                os.write(2, f"{self.notice}\n".encode())

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = ExitCode.TERMINATED
        self._switch.press()
        self._switch.press()
