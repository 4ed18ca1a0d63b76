"""GetLogEvents: pages of a stream that grows while it is read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rightsizer.api.context import Context
from rightsizer.api.faults import ApiFault
from rightsizer.api.logs import LogLine, Place, get_log_events, page_of
from rightsizer.api.settings import Settings
from rightsizer.registry import Registry
from rightsizer.store import Store

GROUP = "/aws/sagemaker/InferenceRecommendationsJobs"
STREAM = "a-job/execution"


def stream(count: int, text: str = "line") -> list[LogLine]:
    """One line every 10 ms, from 1000 ms on."""
    return [LogLine(1000 + 10 * i, f"{text} {i}") for i in range(count)]


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """GetLogEvents of one stream: `ask(lines, limit=3)`."""
    store = Store(tmp_path / "store")
    context = Context(store, Registry(store), Settings(), store.folder)

    def asked(lines: Sequence[LogLine], **request: Any) -> dict[str, Any]:
        def find(given: Context, group: str, name: str) -> Sequence[LogLine] | None:
            assert given is context
            return lines if (group, name) == (GROUP, STREAM) else None

        if "logGroupIdentifier" not in request:
            request = {"logGroupName": GROUP, **request}
        return get_log_events(context, {"logStreamName": STREAM, **request}, find)

    return asked


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def numbers(answer: dict[str, Any]) -> list[int]:
    return [int(message.rpartition(" ")[2]) for message in messages(answer)]


def test_the_newest_page_comes_first_in_the_order_of_time(ask):
    assert numbers(ask(stream(5), limit=2)) == [3, 4]
    assert numbers(ask(stream(5), limit=2, startFromHead=True)) == [0, 1]
    assert numbers(ask(stream(5))) == [0, 1, 2, 3, 4]


def test_an_event_has_its_time_and_its_text(ask):
    assert ask([LogLine(1234, "hello")])["events"] == [
        {"timestamp": 1234, "message": "hello", "ingestionTime": 1234}
    ]


def walk(ask: Any, lines: list[LogLine], token: str, **request: Any) -> list[list[int]]:
    """The pages until a token comes back that was sent."""
    pages = []
    answer = ask(lines, **request)
    while True:
        pages.append(numbers(answer))
        sent = answer[token]
        answer = ask(lines, nextToken=sent, **request)
        if answer[token] == sent:
            assert answer["events"] == []
            return pages


def test_forward_tokens_walk_every_line_once_and_then_stay(ask):
    assert walk(ask, stream(5), "nextForwardToken", limit=2, startFromHead=True) == [
        [0, 1],
        [2, 3],
        [4],
    ]


def test_backward_tokens_walk_from_the_end_to_the_beginning(ask):
    assert walk(ask, stream(5), "nextBackwardToken", limit=2) == [[3, 4], [1, 2], [0]]


def test_one_may_turn_round(ask):
    newest = ask(stream(6), limit=2)
    older = ask(stream(6), limit=2, nextToken=newest["nextBackwardToken"])
    assert numbers(older) == [2, 3]
    again = ask(stream(6), limit=2, nextToken=older["nextForwardToken"])
    assert numbers(again) == [4, 5]
    assert numbers(ask(stream(6), limit=2, nextToken=again["nextBackwardToken"])) == [2, 3]


def test_a_token_says_the_direction_whatever_start_from_head_says(ask):
    token = ask(stream(4), limit=2, startFromHead=True)["nextForwardToken"]
    assert token.startswith("f/")
    assert len(token) == 58
    for head in (True, False):
        assert numbers(ask(stream(4), nextToken=token, startFromHead=head)) == [2, 3]


def test_an_empty_stream_gives_tokens_that_find_what_comes_later(ask):
    answer = ask([])
    assert answer["events"] == []
    assert numbers(ask(stream(2), nextToken=answer["nextForwardToken"])) == [0, 1]
    assert ask(stream(2), nextToken=answer["nextBackwardToken"])["events"] == []


def test_the_time_begins_with_its_first_and_ends_before_its_last_millisecond(ask):
    assert numbers(ask(stream(6), startTime=1010, endTime=1040)) == [1, 2, 3]
    between = {"startTime": 1010, "endTime": 1040, "limit": 2}
    assert walk(ask, stream(6), "nextForwardToken", startFromHead=True, **between) == [[1, 2], [3]]
    assert walk(ask, stream(6), "nextBackwardToken", **between) == [[2, 3], [1]]
    assert ask(stream(6), startTime=5000)["events"] == []


def test_a_page_holds_ten_thousand_lines_and_no_more_than_a_mebibyte(ask):
    assert numbers(ask(stream(10_001), startFromHead=True)) == list(range(10_000))
    long = [LogLine(i, "ö" * 262_000 + f" {i}") for i in range(5)]
    assert numbers(ask(long, startFromHead=True)) == [0, 1]
    assert numbers(ask(long)) == [3, 4]
    assert walk(ask, long, "nextForwardToken", startFromHead=True) == [[0, 1], [2, 3], [4]]


def test_a_line_beyond_a_mebibyte_is_not_in_the_way_of_others(ask):
    lines = [LogLine(0, "x 0"), LogLine(1, "x" * (1 << 21) + " 1"), LogLine(2, "x 2")]
    assert walk(ask, lines, "nextForwardToken", startFromHead=True) == [[0], [1], [2]]


@pytest.mark.parametrize(
    "request_",
    [{"logStreamName": "another/execution"}, {"logGroupName": "/aws/sagemaker/Endpoints"}],
)
def test_an_unknown_stream_or_group_is_not_found_in_the_words_that_clients_wait_for(ask, request_):
    with pytest.raises(ApiFault) as caught:
        ask(stream(1), **request_)
    assert caught.value.code == "ResourceNotFoundException"
    assert caught.value.message == "The specified log stream does not exist."


def test_a_group_may_be_named_by_its_arn(ask):
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}"
    for identifier in (arn, GROUP):
        assert numbers(ask(stream(1), logGroupIdentifier=identifier)) == [0]


@pytest.mark.parametrize(
    "request_",
    [
        {"logGroupName": GROUP, "logGroupIdentifier": GROUP},
        {"logGroupName": None},
        {"nextToken": "f/7"},
        {"nextToken": "x/" + "0" * 56},
        {"nextToken": "f/" + "-" * 56},
    ],
)
def test_what_cannot_be_meant_is_an_invalid_parameter(ask, request_):
    with pytest.raises(ApiFault) as caught:
        ask(stream(1), **request_)
    assert caught.value.code == "InvalidParameterException"


def test_a_place_beyond_the_end_is_no_error():
    lines = stream(3)
    assert page_of(lines, Place(True, 9), 10, (0, None)).lines == ()
    assert page_of(lines, Place(False, 9), 10, (0, None)).lines == tuple(lines)


def test_the_loop_of_the_sdk_prints_each_line_once_while_lines_are_appended(ask):
    """As `sagemaker.session._display_inference_recommendations_job_steps_status` asks: the whole
    first page, then by forward tokens without startFromHead, also on after a page without lines."""
    lines = stream(3)
    growth = itertools.chain([0, 2, 0, 0, 1, 4, 0], itertools.repeat(0))
    first = ask(lines)
    printed = numbers(first)
    token = first["nextForwardToken"]
    for grown in itertools.islice(growth, 12):
        lines += [LogLine(2000 + len(lines) + i, f"line {len(lines) + i}") for i in range(grown)]
        batch = ask(lines, nextToken=token)
        assert len(batch["events"]) == grown
        if batch["events"]:
            token = batch["nextForwardToken"]
        printed += numbers(batch)
    assert printed == list(range(10))


def test_the_sdks_generator_ends_at_a_page_without_lines(ask):
    """As `sagemaker.logs.log_stream` asks: from the head, until a page is empty."""
    lines, token, printed = stream(25_000), None, []
    while True:
        more = {} if token is None else {"nextToken": token}
        answer = ask(lines, startTime=0, startFromHead=True, **more)
        token = answer["nextForwardToken"]
        if not answer["events"]:
            break
        printed += numbers(answer)
    assert printed == list(range(25_000))


@pytest.mark.filterwarnings("ignore")  # of the SDK, at its import
def test_the_real_loops_of_the_sdk_read_it(ask, capsys, monkeypatch):
    session = pytest.importorskip("sagemaker.session")
    lines = stream(2)
    statuses = iter(["PENDING", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED", "COMPLETED"])

    class Client:
        """Both of boto3's clients, as far as the loop uses them; lines come while it sleeps."""

        def client(self, name: str) -> Any:
            assert name == "logs"
            return self

        boto_session = property(lambda self: self)

        def get_log_events(self, **request: Any) -> Any:
            return ask(lines, **request)

        def describe_inference_recommendations_job(self, JobName: str) -> Any:
            return {"Status": next(statuses, "COMPLETED")}

    def grow(_: float) -> None:
        if len(lines) < 4:
            lines.append(LogLine(3000, f"line {len(lines)}"))

    monkeypatch.setattr(session.time, "sleep", grow)
    session._display_inference_recommendations_job_steps_status(Client(), Client(), "a-job")
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("line")]
    assert printed == ["line 0", "line 1", "line 2", "line 3"]
