"""The documents say what the program does: every key, verb and reason; the example runs."""

from __future__ import annotations

import json
import re
import types
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel
from rightsizer.errors import ExitCode, Reason, TrialState
from rightsizer.spec import JobSpec

from tests.noise import until_quiet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SCHEMA = ROOT / "engine" / "rightsizer" / "job.schema.json"


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """`server.request.path`, `candidates[].environment`: every leaf of the job file."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found |= _leaves(field.annotation, prefix + name)
    return found


def _leaves(kind: object, path: str) -> set[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return keys_of(kind, path + ".")
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return set().union(*(_leaves(part, path) for part in parts))
    if typing.get_origin(kind) is typing.Annotated:
        return _leaves(parts[0], path)
    if typing.get_origin(kind) is tuple:
        models = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if models:
            return keys_of(models[0], path + "[].")
    return {path}


def test_every_key_of_the_job_file_is_in_the_readme():
    documented = set(re.findall(r"`([a-z_.\[\]]+)`", README))
    assert len(keys_of(JobSpec)) > 50
    assert keys_of(JobSpec) - documented == set()


def test_every_reason_state_and_exit_code_is_in_the_readme():
    for reason in Reason:
        assert f"`{reason.value}`" in README
    for state in TrialState:
        if state is not TrialState.RUNNING:
            assert f"`{state.value}`" in README
    codes = README.partition("Exit codes:")[2].partition("\n\n")[0]
    for code in ExitCode:
        assert re.search(rf"\b{code.value}\b", codes)


def test_every_verb_is_in_the_readme_and_every_verb_of_its_table_exists():
    from rightsizer.cli import VERBS

    table = README.partition("## Commands")[2].partition("## Measure")[0]
    assert set(re.findall(r"^\| `rightsizer ([a-z-]+)", table, re.MULTILINE)) == set(VERBS)


def test_the_published_schema_is_that_of_the_program():
    assert json.loads(SCHEMA.read_text("utf-8")) == JobSpec.model_json_schema(), (
        "run: python -m rightsizer.spec > engine/rightsizer/job.schema.json"
    )


def test_links_in_the_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("containers/*/README.md")]:
        prose = re.sub(r"`[^`\n]*`", "", document.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.server
def test_the_readmes_own_example_runs_as_printed(tmp_path: Path):
    from rightsizer import run

    section = README.partition("## Measure a server of your own")[2]
    python, job = re.findall(r"```(?:python|yaml)\n(.*?)```", section, re.DOTALL)[:2]
    (tmp_path / "server.py").write_text(python)
    (tmp_path / "body.json").write_text("{}")
    [prices] = re.findall(r"```csv\n(.*?)```", section, re.DOTALL)
    (tmp_path / "prices.csv").write_text(prices)
    shorter = job.replace("steps: 4, duration_s: 60", "steps: 2, duration_s: 20")
    assert shorter != job
    (tmp_path / "job.yaml").write_text(shorter)
    result = until_quiet(lambda: run(tmp_path / "job.yaml"), lambda job: job.best is None)
    assert result.best is not None
    assert 3000 < result.best.max_invocations_per_min < 6100
    assert result.best.fleet.instance_count in (2, 3, 4)
    assert result.best.fleet.cost_per_month_usd > 0
    assert len(python.splitlines()) <= 25
