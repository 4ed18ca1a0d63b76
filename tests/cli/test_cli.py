"""The command line: what it prints where, exit codes, one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rightsizer.jobs import run
from typer.testing import CliRunner

from tests.fakes import JOB, fake_outside, write_job

BIN = Path(sys.executable).parent
STAIRS = "type: stairs, users_per_step: 1, steps: 3, duration_s: 60"


def rightsizer(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "rightsizer"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def stored(tmp_path: Path):
    return run(write_job(tmp_path), outside=fake_outside())


def test_show_prints_the_id_first_then_the_table_and_the_sentence_last(stored):
    done = rightsizer("show", stored.id)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0] == f"job {stored.id}: completed"
    assert lines[1] == f"results in {stored.samples_dir}"
    header = next(line for line in lines if "CostPerHour" in line)
    for name in ("CostPerInference", "EndpointName", "EnvironmentParameters", "ModelLatency"):
        assert name in header
    assert lines[-1].startswith("Run 2 x local.1cpu with SPEED=fast")
    assert done.stderr == ""


def test_show_knows_json_csv_and_markdown(stored, tmp_path):
    document = json.loads(rightsizer("show", "demo", "--format", "json").stdout)
    assert document["schema"] == "rightsizer/job/1"
    assert document == json.loads(json.dumps(stored.document()))
    csv = rightsizer("show", "demo", "--format", "csv").stdout.splitlines()
    assert csv[0].startswith("CostPerHour,CostPerInference,EndpointName,")
    assert len(csv) == 3
    assert rightsizer("show", "demo", "--format", "markdown").stdout.startswith("# ")
    target = tmp_path / "out.json"
    rightsizer("show", "demo", "--json", target)
    assert json.loads(target.read_text()) == document


def test_list_shows_each_job_on_one_line(stored):
    lines = rightsizer("list").stdout.splitlines()
    assert len(lines) == 2
    assert stored.id in lines[1]
    assert json.loads(rightsizer("list", "--json", "-").stdout)["jobs"][0]["id"] == stored.id


def test_the_store_option_stands_over_the_environment(stored, tmp_path):
    done = rightsizer("list", "--store", tmp_path / "elsewhere")
    assert stored.id not in done.stdout
    assert done.returncode == 0


def test_plan_starts_nothing_and_stores_nothing(tmp_path):
    job = write_job(tmp_path)
    done = rightsizer("plan", job)
    assert done.returncode == 0
    assert "2 candidates, 2 trials" in done.stdout
    document = json.loads(rightsizer("plan", job, "--json", "-").stdout)
    assert len(document["candidates"]) == 2
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("steps: 3", "steps: 0"), 3, "job.yaml:9: traffic.steps:"),
        (("local.1cpu", "ml.nope"), 3, "instance type ml.nope is not known"),
        (("local.1cpu", "ml.p4d.24xlarge"), 4, "no host can run any candidate"),
        (("body.txt", "nothing.tar.gz"), 3, "nothing.tar.gz does not exist"),
        (("prices.csv", "nothing.csv"), 3, "cannot read the price file"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(tmp_path, change, code, said):
    done = rightsizer("run", write_job(tmp_path, JOB.replace(*change)))
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_several_problems_are_a_line_each(tmp_path):
    text = JOB.replace("steps: 3", "steps: 0").replace("name: demo", "nam: demo")
    done = rightsizer("run", write_job(tmp_path, text))
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 3


def test_a_traceback_only_with_verbose(tmp_path):
    done = rightsizer("run", tmp_path / "none.yaml")
    assert "Traceback" not in done.stderr
    assert "Traceback" in rightsizer("run", tmp_path / "none.yaml", "--verbose").stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["nope"], 2), (["show"], 2), (["show", "none"], 2), (["run"], 2), (["stop", "none"], 2)],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, code):
    done = rightsizer(*arguments)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_a_reader_that_goes_away_is_no_bug():
    script = 'set -o pipefail; "$0" instance-types | true'
    command = Path(sys.executable).parent / "rightsizer"
    assert subprocess.run(["bash", "-c", script, command], check=False).returncode == 0


def test_an_unwritable_store_is_exit_code_4(tmp_path):
    (tmp_path / "file").write_text("")
    done = rightsizer("run", write_job(tmp_path), "--store", tmp_path / "file")
    assert done.returncode == 4
    assert "give another with --store" in done.stderr


def test_an_unwritable_json_file_fails_before_anything_starts(tmp_path):
    done = rightsizer("run", write_job(tmp_path), "--json", tmp_path / "no" / "out.json")
    assert done.returncode == 4
    assert "cannot write" in done.stderr
    assert not (tmp_path / "store").exists()


def test_instance_types_are_listed_with_price_and_basis():
    done = rightsizer("instance-types")
    assert "local.1cpu" in done.stdout
    assert "ml.c5.xlarge" in done.stdout
    assert "corroborated" in done.stdout
    document = json.loads(rightsizer("instance-types", "--json", "-").stdout)
    prices = {row["name"]: row["price_per_hour_usd"] for row in document["instance_types"]}
    assert prices["ml.c5.xlarge"] == 0.204


def said_by(script: str) -> str:
    """By a fresh interpreter."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from rightsizer.cli import Verbs\n"
        "assert len(list(Verbs().values())) > 10\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'locust', 'gevent', 'httpx', 'docker', 'psutil',"
        " 'ruamel', 'tensorflow', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert said_by(script) == "[]\n"


def test_a_process_that_has_loaded_every_verb_can_run_another():
    script = (
        "import sys\n"
        "from rightsizer.cli import Verbs, main\n"
        "assert len(list(Verbs().values())) > 10\n"
        "sys.argv = ['rightsizer', 'gc', '--help']\n"
        "main()\n"
    )
    assert said_by(script).startswith("Usage: rightsizer gc")


def test_a_verb_loads_no_other():
    script = (
        "import sys\n"
        "from rightsizer.cli import VERBS, Verbs\n"
        "Verbs()['what-if']\n"
        "others = {'rightsizer.cli.' + of.split(':')[0] for of in VERBS.values()}\n"
        "print(sorted(others & set(sys.modules)))\n"
    )
    assert said_by(script) == "['rightsizer.cli.what_if']\n"


def test_every_verb_has_help():
    from rightsizer.cli import app

    runner = CliRunner()
    top = runner.invoke(app, ["--help"]).output
    for verb in ("run", "plan", "hosts", "list", "show", "resume", "stop", "gc", "instance-types"):
        assert verb in top
        assert runner.invoke(app, [verb, "--help"]).exit_code == 0
