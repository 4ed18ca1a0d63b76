"""rightsizer resume"""

from __future__ import annotations

from rightsizer.cli.measuring import measure
from rightsizer.cli.options import (
    JobArgument,
    JsonOption,
    StoreOption,
    VerboseOption,
    WorkersOption,
)
from rightsizer.cli.output import print_result


def resume(
    job: JobArgument,
    json: JsonOption = None,
    store: StoreOption = None,
    workers: WorkersOption = 1,
    verbose: VerboseOption = False,
) -> None:
    """Finish a stored job; trials that have ended are not repeated."""
    from rightsizer import jobs

    measure(
        lambda on_event, switch: jobs.resume(
            job, store=store, workers=workers, on_event=on_event, switch=switch
        ),
        json,
        print_result,
    )
