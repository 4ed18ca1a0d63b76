"""Printing results: what goes to standard output, and where JSON goes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from errno import EISDIR
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightsizer.errors import EnvironmentFault

if TYPE_CHECKING:
    from rightsizer.compared import Compared
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
        raise _unwritable(target, error) from None


def require_file(target: str) -> None:
    """Fail before the work where `write_file` could not write; leaves nothing behind."""
    path = Path(target)
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        if path.is_file() or not path.exists():  # opening a pipe would end it for its reader
            trial = _beside(path)
            trial.touch()
            trial.unlink()
    except OSError as error:
        raise _unwritable(target, error) from None


def write_file(content: bytes, target: str) -> None:
    """A file whole or not at all, in place of one that is there; a device or pipe is written to."""
    path = Path(target)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        unfinished = _beside(path)
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path.resolve())
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(target, error) from None


def _beside(path: Path) -> Path:
    """In the same folder as what the path leads to: only there can it take its place at once."""
    return path.resolve().with_name(f".rightsizer-{os.getpid()}")


def _unwritable(target: str, error: OSError) -> EnvironmentFault:
    why = error.strerror or str(error)
    return EnvironmentFault(f"cannot write {target}", why, "give another path")


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


def print_comparison(found: Compared) -> None:
    """The table and the answer."""
    from rightsizer.report.comparison import comparison_text

    print(comparison_text(found, terminal_width()))
