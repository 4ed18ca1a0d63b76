"""CloudWatch Logs' GetLogEvents, for the SDK that shows a job's log while it waits for it.

A token is a place between two lines: `f/000...7` goes on after the seventh line of the stream,
`b/000...7` before the eighth. A stream only grows at its end, so a place stays what it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rightsizer.api.context import Answer, Context, Request
from rightsizer.api.faults import ApiFault

MOST_EVENTS = 10_000
MOST_BYTES = 1 << 20
EVENT_BYTES = 26
"""What an event counts beside its message, as the reference counts."""
TOKEN = re.compile(r"([fb])/([0-9]{56})")


@dataclass(frozen=True)
class LogLine:
    """A line of a stream; `at_ms` in milliseconds since the epoch."""

    at_ms: int
    message: str


@dataclass(frozen=True)
class Place:
    """Between the lines `before` and those after it, and the way to go from there."""

    forward: bool
    before: int

    @property
    def token(self) -> str:
        """As clients send it back."""
        return f"{'f' if self.forward else 'b'}/{self.before:056d}"


@dataclass(frozen=True)
class Page:
    """Some lines in their order, and the places at both ends of them."""

    lines: tuple[LogLine, ...]
    begin: int
    end: int


Lines = Callable[[Context, str, str], Sequence[LogLine] | None]
"""The lines of a stream of a group; None where there is no such stream."""


def get_log_events(context: Context, request: Request, lines: Lines) -> Answer:
    """A page of a stream: the newest lines first unless startFromHead or a token says otherwise.

    Raises:
        ApiFault: ResourceNotFoundException, InvalidParameterException.
    """
    found = lines(context, _group(request), request["logStreamName"])
    if found is None:
        message = "The specified log stream does not exist."
        raise ApiFault("ResourceNotFoundException", message)
    token = request.get("nextToken")
    head = Place(True, 0) if request.get("startFromHead") else Place(False, len(found))
    page = page_of(
        found,
        head if token is None else _place(token),
        request.get("limit", MOST_EVENTS),
        (request.get("startTime", 0), request.get("endTime")),
    )
    return {
        "events": [
            {"timestamp": line.at_ms, "message": line.message, "ingestionTime": line.at_ms}
            for line in page.lines
        ],
        "nextForwardToken": Place(True, page.end).token,
        "nextBackwardToken": Place(False, page.begin).token,
    }


def page_of(
    lines: Sequence[LogLine], place: Place, limit: int, between_ms: tuple[int, int | None]
) -> Page:
    """The lines next to a place that lie in a time [from, to), up to `limit` and 1 MiB.

    Where there are none both ends are the place itself: the token comes back that was sent.
    """
    onward: Iterable[int] = range(place.before, len(lines))
    if not place.forward:
        onward = range(min(place.before, len(lines)) - 1, -1, -1)
    from_ms, to_ms = between_ms
    taken: list[int] = []
    size_bytes = 0
    for i in onward:
        line = lines[i]
        if line.at_ms < from_ms or (to_ms is not None and line.at_ms >= to_ms):
            continue
        size_bytes += len(line.message.encode()) + EVENT_BYTES
        # One that is too big by itself is given alone, or nobody would get past it.
        if len(taken) == limit or (taken and size_bytes > MOST_BYTES):
            break
        taken.append(i)
    if not taken:
        return Page((), place.before, place.before)
    first, last = min(taken), max(taken)
    return Page(tuple(lines[i] for i in sorted(taken)), first, last + 1)


def _group(request: Request) -> str:
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        message = "Exactly one of logGroupName and logGroupIdentifier must be given."
        raise ApiFault("InvalidParameterException", message)
    # arn:aws:logs:REGION:ACCOUNT:log-group:NAME
    return str(name if name is not None else str(identifier).rpartition(":log-group:")[2])


def _place(token: str) -> Place:
    found = TOKEN.fullmatch(token)
    if found is None:
        raise ApiFault("InvalidParameterException", "The specified nextToken is invalid.")
    return Place(found[1] == "f", int(found[2]))
