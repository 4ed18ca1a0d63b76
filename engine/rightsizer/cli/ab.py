"""rightsizer ab"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rightsizer.cli.measuring import measure
from rightsizer.cli.options import (
    JsonOption,
    MarkdownOption,
    RegressionOption,
    StoreOption,
    VerboseOption,
    WorkersOption,
)
from rightsizer.cli.output import print_comparison, require_writable, write_file

if TYPE_CHECKING:
    from rightsizer.compared import Compared
    from rightsizer.events import Event
    from rightsizer.stop_switch import StopSwitch


def ab(
    job_a: Annotated[Path, typer.Argument(metavar="JOB_A.yaml", help="The baseline's job file.")],
    job_b: Annotated[Path, typer.Argument(metavar="JOB_B.yaml", help="The other's.")],
    fail_on_regression: RegressionOption = None,
    json: JsonOption = None,
    markdown: MarkdownOption = None,
    store: StoreOption = None,
    workers: WorkersOption = 1,
    verbose: VerboseOption = False,
) -> None:
    """Measure two jobs in turn on one host, and say which is cheaper."""
    from rightsizer import ab_run

    require_writable(markdown)

    def start(on_event: Callable[[Event], None], switch: StopSwitch) -> Compared:
        found = ab_run.ab(
            job_a,
            job_b,
            fail_on_regression_percent=fail_on_regression,
            store=store,
            workers=workers,
            on_event=on_event,
            switch=switch,
        )
        if markdown is not None:
            write_file(found.markdown().encode(), markdown)
        return found

    measure(start, json, print_comparison)
