"""rightsizer run"""

from __future__ import annotations

from rightsizer.cli.measuring import measure
from rightsizer.cli.options import (
    JobFileArgument,
    JsonOption,
    StoreOption,
    VerboseOption,
    WorkersOption,
)
from rightsizer.cli.output import print_result


def run(
    job_file: JobFileArgument,
    json: JsonOption = None,
    store: StoreOption = None,
    workers: WorkersOption = 1,
    verbose: VerboseOption = False,
) -> None:
    """Plan, measure and recommend."""
    from rightsizer import jobs

    measure(
        lambda on_event, switch: jobs.run(
            job_file, store=store, workers=workers, on_event=on_event, switch=switch
        ),
        json,
        print_result,
    )
