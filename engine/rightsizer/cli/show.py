"""rightsizer show"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rightsizer.cli.options import JobArgument, JsonOption, StoreOption, VerboseOption
from rightsizer.cli.output import print_result, write_json


class Format(StrEnum):
    """How `show` prints a job."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def show(
    job: JobArgument,
    format: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    json: JsonOption = None,
    store: StoreOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Print a stored job."""
    from rightsizer.loading import load

    found = load(job, store=store)
    if json is not None:
        write_json(found.document(), json)
        if json == "-":
            return
    match format:
        case Format.JSON:
            write_json(found.document(), "-")
        case Format.CSV:
            from rightsizer.report.csv_file import job_csv

            print(job_csv(found), end="")
        case Format.MARKDOWN:
            from rightsizer.report.markdown import job_markdown

            print(job_markdown(found))
        case Format.TABLE:
            print(f"job {found.id}: {found.status}")
            print(f"results in {found.samples_dir}")
            print()
            print_result(found)
