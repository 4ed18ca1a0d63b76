"""What is left of a job's model and payload once it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rightsizer.api.jobs.specs import INPUTS, MODEL_FILE, PAYLOAD_FILE
from rightsizer.errors import Reason, TrialFailed, UsageError
from rightsizer.jobs import resume
from rightsizer.loading import load
from rightsizer.stop_switch import StopSwitch

from tests.api.calls import Api
from tests.api.jobs.made import ask, head_of, opened, work_on
from tests.api.jobs.requests import IMAGE, ROLE


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """With a job that waits, `one`, whose model has an archive."""
    with opened(tmp_path) as made:
        url = f"file://{tmp_path}/payload.tar.gz"
        container = {"Image": IMAGE, "ModelDataUrl": url}
        made("CreateModel", ModelName="whole", PrimaryContainer=container, ExecutionRoleArn=ROLE)
        ask(made, "one", ModelName="whole")
        yield made


def left(api: Api) -> set[str]:
    folder = api.context.store.job_dir(head_of(api, "one").id) / INPUTS
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_job_that_is_done_keeps_no_copy_of_its_model(
    api: Api, monkeypatch: pytest.MonkeyPatch, status: str
):
    fault = TrialFailed(Reason.EXITED_AT_START, "it exited with 1")
    outside = {} if status == "completed" else {"outcome": lambda launch: fault}
    head = work_on(api, "one", monkeypatch, **outside)
    assert bool(head.failure) is (status == "failed")
    assert left(api) == {PAYLOAD_FILE}
    folder = api.context.store.folder
    assert load("one", store=folder).trials
    with pytest.raises(UsageError, match=r"one-\w+ is done: .*model was removed.*create a new job"):
        resume("one", store=folder)


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_job_that_may_go_on_keeps_its_model(
    api: Api, monkeypatch: pytest.MonkeyPatch, handed_over: bool
):
    switch = StopSwitch()
    (switch.hand_over if handed_over else switch.press)()
    head = work_on(api, "one", monkeypatch, switch=switch)
    assert head.status not in ("completed", "failed")
    assert left(api) == {MODEL_FILE, PAYLOAD_FILE}
