"""rightsizer hosts"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rightsizer.cli.options import JsonOption, VerboseOption
from rightsizer.cli.output import require_writable, terminal_width, write_json


def hosts(
    hosts_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A hosts file. Default: that of --job, else this machine.",
            show_default=False,
        ),
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option("--job", metavar="JOB.yaml", help="Look for the images of this job, too."),
    ] = None,
    copy_image: Annotated[
        str | None,
        typer.Option(
            "--copy-image",
            metavar="IMAGE",
            help="First copy this image from the engine here to the Docker hosts that lack it.",
        ),
    ] = None,
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Show what every host has and which instance types fit on it; start nothing.

    Exit code 4 when something is wrong with one of them; the others are shown all the same.
    """
    from rightsizer.errors import FaultsError
    from rightsizer.report.hosts_text import hosts_document, hosts_text
    from rightsizer.surveying import copy_to_hosts, survey_hosts

    require_writable(json)
    if copy_image is not None:
        for line in copy_to_hosts(copy_image, hosts_file, job):
            print(line, file=sys.stderr, flush=True)
    offers = survey_hosts(hosts_file, job)
    if json is not None:
        write_json(hosts_document(offers), json)
    if json != "-":
        print(hosts_text(offers, terminal_width()), flush=True)
    problems = [problem for offer in offers for problem in offer.problems]
    if problems:
        raise FaultsError(problems)
