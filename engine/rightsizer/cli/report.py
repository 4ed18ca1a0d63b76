"""rightsizer report"""

from __future__ import annotations

from typing import Annotated

import typer

from rightsizer.cli.options import JobArgument, StoreOption, VerboseOption
from rightsizer.cli.output import require_file, write_file


def report(
    job: JobArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE.html", help="Where to write the page.")
    ],
    store: StoreOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Write a stored job as one HTML page that needs nothing else."""
    from rightsizer.loading import load
    from rightsizer.units import size

    require_file(output)
    found = load(job, store=store)
    page = found.html().encode()
    write_file(page, output)
    print(f"job {found.id}: {found.status}")
    print(f"page in {output} ({size(len(page))})")
