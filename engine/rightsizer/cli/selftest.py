"""rightsizer selftest"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rightsizer.cli import measuring
from rightsizer.cli.options import JsonOption, VerboseOption
from rightsizer.cli.output import require_writable, terminal_width

if TYPE_CHECKING:
    from rightsizer.events import SelftestEvent
    from rightsizer.selftesting.outcome import SelfTest


def selftest(
    quick: Annotated[
        bool, typer.Option("--quick", help="Half a minute instead of two; wider margins.")
    ] = False,
    json: JsonOption = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="DIR",
            help="Folder to keep the samples in, under selftests. Default: RIGHTSIZER_STORE, "
            "else the user's data folder.",
        ),
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Measure the instrument on this machine, and say what its numbers can be trusted for.

    Servers whose truth is known are started here and measured. Exit code 0 when no check failed,
    6 when one did, 4 when this machine has no CPU or disk for it.
    """
    from rightsizer.events import SelftestStarted
    from rightsizer.report.selftest_text import selftest_line
    from rightsizer.selftesting import sequence
    from rightsizer.stop_switch import StopSwitch

    require_writable(json)
    switch = StopSwitch()
    signals = measuring.Signals(switch, shown_by_display=False)

    def hear(event: SelftestEvent) -> None:
        with suppress(OSError):  # whoever read our output may be gone
            if isinstance(event, SelftestStarted) and json != "-":
                print(f"samples in {event.folder}", flush=True)
            print(selftest_line(event), file=sys.stderr, flush=True)

    found = sequence.selftest(quick=quick, store=store, on_event=hear, switch=switch)
    measuring.conclude(found, json, _print, signals)


def _print(found: SelfTest) -> None:
    from rightsizer.report.selftest_text import selftest_text

    print(selftest_text(found, terminal_width()))
