"""`rightsizer measure` on the command line: what is refused, with which exit code, and help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rightsizer.cli import app
from typer.testing import CliRunner

URL = "http://127.0.0.1:9/"


@pytest.fixture
def measure(tmp_path: Path):
    """The verb, to its end, with a payload."""
    (tmp_path / "body.json").write_text("{}")

    def run(*arguments: object, payload: str = "body.json") -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / "rightsizer"
        given = ["--payload", str(tmp_path / payload), *map(str, arguments)]
        return subprocess.run(
            [str(program), "measure", URL, *given],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--traffic", "fast"], "--traffic 'fast' is not known; give search, saturate, users:N"),
        (["--traffic", "users:2", "--duration-s", "nan"], "--duration-s: must be a finite number"),
        (["--traffic", "users:2", "--duration-s", "inf"], "--duration-s: must be a finite number"),
        (["--budget-s", "nan"], "--budget-s: must be a finite number"),
        (["--limit-ms=-5"], "--limit-ms: should be greater than 0, not -5.0"),
        (["--header", "plain"], "--header 'plain' has no name and value; write it NAME:VALUE"),
        (["--workers", "9999"], "9999 workers need as many CPUs: the generator may use"),
        (["--traffic", "saturate", "--limit-ms", "9"], "--limit-ms: saturate takes no latency"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(measure, tmp_path, arguments, said):
    done = measure(*arguments)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert done.stdout == ""
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("arguments", [["--seed", "x"], ["--limit-ms", "soon"], ["--nope"]])
def test_what_is_no_number_or_no_option_is_exit_code_2(measure, arguments):
    assert measure(*arguments).returncode == 2


def test_url_and_payload_are_required():
    runner = CliRunner()
    assert runner.invoke(app, ["measure"]).exit_code == 2
    assert runner.invoke(app, ["measure", URL]).exit_code == 2


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("nothing.json", "nothing.json does not exist"),
        ("nothing.tar.gz", "nothing.tar.gz does not exist"),
        (".", "is a folder; pack it"),
        ("broken.tar.gz", "broken.tar.gz"),
    ],
)
def test_a_payload_that_cannot_be_read_is_one_line_and_exit_code_3(
    measure, tmp_path, payload, said
):
    (tmp_path / "broken.tar.gz").write_bytes(b"not an archive")
    done = measure("--json", "-", payload=payload)
    assert done.returncode == 3
    [line] = done.stderr.splitlines()
    assert said in line
    assert done.stdout == ""


def test_an_unwritable_place_is_exit_code_4_before_anything_is_sent(measure, tmp_path):
    done = measure("--json", tmp_path / "no" / "out.json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "cannot write" in done.stderr
    (tmp_path / "file").write_text("")
    done = measure("--store", tmp_path / "file")
    assert done.returncode == 4
    assert "give another with --store" in done.stderr


def test_help_says_what_each_option_is_of_with_its_unit_and_default():
    said = " ".join(CliRunner().invoke(app, ["measure", "--help"]).output.split())
    for words in (
        "Measure a server that already runs, at its URL.",
        "Exit code 0 when the measurement is valid",
        "Of one request, in all, seconds. [10]",
        "rate:R: R arrivals a second",
        "users:N: N users in a loop",
        "[application/octet-stream]",
    ):
        assert words in said
