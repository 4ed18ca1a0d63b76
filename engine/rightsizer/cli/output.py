"""Printing results: what goes to standard output, and where JSON goes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightsizer.errors import EnvironmentFault

if TYPE_CHECKING:
    from rightsizer.results import Job


def terminal_width() -> int | None:
    """Columns of the terminal on standard output; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def require_writable(target: str | None) -> None:
    """Fail before an hour of measuring, not after it."""
    if target in (None, "-"):
        return
    assert target is not None
    try:
        Path(target).open("a").close()
    except OSError as error:
        why = error.strerror or str(error)
        raise EnvironmentFault(f"cannot write {target}", why, "give another path") from None


def write_json(document: dict[str, Any], target: str) -> None:
    """The document, whole, to a file or standard output."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).write_text(text, "utf-8")


def print_result(job: Job) -> None:
    """The table, then the recommendation as a sentence."""
    from rightsizer.report.sentence import closing_sentence
    from rightsizer.report.table import result_table

    width = terminal_width()
    print(result_table(job, width))
    print()
    print(closing_sentence(job, width))
