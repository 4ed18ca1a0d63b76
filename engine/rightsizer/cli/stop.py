"""rightsizer stop"""

from __future__ import annotations

from rightsizer.cli.options import JobArgument, StoreOption, VerboseOption


def stop(job: JobArgument, store: StoreOption = None, verbose: VerboseOption = False) -> None:
    """Ask a running job to end its step, save and stop."""
    from rightsizer.housekeeping import stop as stop_job

    stored = stop_job(job, store=store)
    if stored.status == "stopped":
        print(f"{stored.id} waited in the API's queue: it is stopped")
        return
    print(f"{stored.id} is stopping: it ends its step and saves; resume finishes it")
