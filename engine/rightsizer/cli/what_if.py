"""rightsizer what-if"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rightsizer.cli.options import JobArgument, JsonOption, StoreOption, VerboseOption
from rightsizer.cli.output import print_result, write_json


def what_if(
    job: JobArgument,
    invocations_per_min: Annotated[
        float | None,
        typer.Option("--invocations-per-min", metavar="N", min=0.0, help="Another target."),
    ] = None,
    limit_ms: Annotated[
        float | None,
        typer.Option("--limit-ms", metavar="L", min=0.0, help="Another latency limit, ms."),
    ] = None,
    percentile: Annotated[
        str | None,
        typer.Option("--percentile", metavar="P", help="Another: P50, P90, P95 or P99."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Other prices.")
    ] = None,
    max_utilisation: Annotated[
        float | None,
        typer.Option(
            "--max-utilisation", metavar="R", help="Share of each maximum that is planned with."
        ),
    ] = None,
    spare: Annotated[
        int | None, typer.Option("--spare", metavar="N", min=0, help="Spare instances.")
    ] = None,
    json: JsonOption = None,
    store: StoreOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Rank a stored job anew under another target, limit or prices; measure nothing."""
    from rightsizer import what_ifs
    from rightsizer.report.sentence import question

    answer = what_ifs.what_if(
        job,
        invocations_per_min=invocations_per_min,
        limit_ms=limit_ms,
        percentile=percentile,
        prices=prices,
        max_utilisation_ratio=max_utilisation,
        spare_instances=spare,
        store=store,
    )
    if json is not None:
        write_json(answer.document(), json)
    if json != "-":
        print(f"job {answer.id}, {question(answer)}: nothing was measured for this")
        print()
        print_result(answer)
    if not answer.recommendations:
        raise typer.Exit(answer.exit_code)
