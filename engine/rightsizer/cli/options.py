"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Folder of stored jobs. Default: RIGHTSIZER_STORE, else the user's data folder.",
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the result as JSON; - prints only JSON."),
]
MarkdownOption = Annotated[
    str | None,
    typer.Option("--markdown", metavar="FILE", help="Write the result for a pull request too."),
]
RegressionOption = Annotated[
    float | None,
    typer.Option(
        "--fail-on-regression",
        metavar="P",
        min=0.0,
        help="Exit with 8 where B costs more by over P percent, with 95 % confidence.",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Generator processes that share the traffic, one CPU each: for a server faster than "
        "one can drive.",
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show a traceback with an error.")]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's id, or its name where only one has it.")
]
JobFileArgument = Annotated[
    Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)
]
