"""rightsizer compare"""

from __future__ import annotations

from typing import Annotated

import typer

from rightsizer.cli.options import (
    JobArgument,
    JsonOption,
    MarkdownOption,
    RegressionOption,
    StoreOption,
    VerboseOption,
)
from rightsizer.cli.output import print_comparison, write_file, write_json


def compare(
    job_a: JobArgument,
    job_b: JobArgument,
    fail_on_regression: RegressionOption = None,
    across: Annotated[
        str,
        typer.Option(
            "--across",
            metavar="LIST",
            help="Compare although these differ: of model, payload, basis, host, with commas.",
        ),
    ] = "",
    json: JsonOption = None,
    markdown: MarkdownOption = None,
    store: StoreOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Compare two stored jobs; measure nothing."""
    from rightsizer import comparisons

    found = comparisons.compare(
        job_a,
        job_b,
        across=[name.strip() for name in across.split(",") if name.strip()],
        fail_on_regression_percent=fail_on_regression,
        store=store,
    )
    if json is not None:
        write_json(found.document(), json)
    if markdown is not None:
        write_file(found.markdown().encode(), markdown)
    if json != "-":
        print_comparison(found)
    raise typer.Exit(found.exit_code)
