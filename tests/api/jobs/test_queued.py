"""A job of the API that waits in its queue, as the command line sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.cli import app
from rightsizer.errors import UsageError
from rightsizer.jobs import resume
from typer.testing import CliRunner

from tests.api.jobs.queues import Queue, queue_in
from tests.api.jobs.requests import default

FORMATS = ("table", "json", "csv", "markdown")


@pytest.fixture(params=["Advanced", "Default"])
def queue(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A queue that does not run, with one job in it, `one`."""
    with queue_in(tmp_path) as made:
        made.context = replace(made.context, time_scale=1.0)
        made.create("one")
        if request.param == "Default":
            config = made.describe("one")["InputConfig"]
            job = default("two", ModelName="m-one", ContainerConfig=config["ContainerConfig"])
            made("CreateInferenceRecommendationsJob", **job)
        yield made


def name_in(queue: Queue) -> str:
    return queue.context.store.jobs()[0].name


def cli(queue: Queue, *arguments: str) -> str:
    store = str(queue.context.store.folder)
    done = CliRunner().invoke(app, [*arguments, "--store", store], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_is_listed_as_pending(queue: Queue):
    document = json.loads(cli(queue, "list", "--json", "-"))
    assert {job["status"] for job in document["jobs"]} == {"pending"}
    assert name_in(queue) in cli(queue, "list")


@pytest.mark.parametrize("form", FORMATS)
def test_it_is_shown_in_every_format(queue: Queue, form: str):
    shown = cli(queue, "show", name_in(queue), "--format", form)
    if form == "json":
        document = json.loads(shown)
        assert document["job"]["status"] == "pending"
        assert document["recommendations"] == document["trials"] == []


def test_gc_leaves_it_in_the_queue(queue: Queue):
    cli(queue, "gc")
    assert queue.status(name_in(queue)) == "PENDING"


def test_it_is_stopped_at_once_and_only_once(queue: Queue):
    name = name_in(queue)
    assert "it is stopped" in cli(queue, "stop", name)
    described = queue.describe(name)
    assert described["Status"] == "STOPPED"
    assert described["CompletionTime"] >= described["CreationTime"]
    store = str(queue.context.store.folder)
    again = CliRunner().invoke(app, ["stop", name, "--store", store])
    assert isinstance(again.exception, UsageError)


def test_it_cannot_be_resumed_before_its_inputs_were_fetched(queue: Queue):
    name, store = name_in(queue), queue.context.store.folder
    with pytest.raises(UsageError, match=r"no inputs yet.*start `rightsizer serve`"):
        resume(name, store=store)
    cli(queue, "stop", name)
    with pytest.raises(UsageError, match=r"no inputs.*create a new job"):
        resume(name, store=store)
