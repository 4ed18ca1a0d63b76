"""rightsizer list"""

from __future__ import annotations

from rightsizer.cli.options import JsonOption, StoreOption, VerboseOption
from rightsizer.cli.output import terminal_width, write_json


def list_jobs(
    json: JsonOption = None, store: StoreOption = None, verbose: VerboseOption = False
) -> None:
    """List the stored jobs, newest first."""
    from rightsizer.loading import list_stored
    from rightsizer.report.plan_text import jobs_table

    rows = list_stored(store=store)
    if json is not None:
        from dataclasses import asdict

        document = {"schema": "rightsizer/jobs/1", "jobs": [asdict(row) for row in rows]}
        write_json(document, json)
    if json != "-":
        print(jobs_table(rows, terminal_width()))
