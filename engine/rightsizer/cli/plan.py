"""rightsizer plan"""

from __future__ import annotations

from rightsizer.cli.options import JobFileArgument, JsonOption, VerboseOption
from rightsizer.cli.output import terminal_width, write_json


def plan(
    job_file: JobFileArgument, json: JsonOption = None, verbose: VerboseOption = False
) -> None:
    """Show candidates, trials and expected time; start nothing."""
    from rightsizer.planning import require_runnable
    from rightsizer.preparation import prepare
    from rightsizer.report.plan_document import plan_document
    from rightsizer.report.plan_text import plan_table

    prepared = prepare(job_file)
    if json is not None:
        write_json(plan_document(prepared.plan, prepared.choice), json)
    if json != "-":
        print(plan_table(prepared.plan, prepared.spec, terminal_width(), prepared.choice))
    require_runnable(prepared.plan)
