"""`rightsizer selftest` on the command line: what is refused, with which exit code, and help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rightsizer.cli import app
from typer.testing import CliRunner


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "rightsizer"
    return subprocess.run(
        [str(program), "selftest", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--quikc"], ["extra"], ["--json"]])
def test_wrong_options_are_one_line_and_exit_code_2(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")


def test_an_unwritable_place_is_exit_code_4_before_anything_starts(tmp_path):
    done = run("--json", tmp_path / "no" / "out.json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "cannot write" in done.stderr
    (tmp_path / "file").write_text("")
    done = run("--store", tmp_path / "file")
    assert (done.returncode, done.stdout) == (4, "")
    assert "give another with --store" in done.stderr


def test_help_says_what_it_does_and_how_it_ends():
    said = " ".join(CliRunner().invoke(app, ["selftest", "--help"]).output.split())
    assert "what its numbers can be trusted for" in said
    assert "Exit code 0 when no check failed, 6 when one did" in said
