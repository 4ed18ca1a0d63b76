"""The errors that callers of the API get: a code that clients know, and a message."""

from __future__ import annotations

from collections.abc import Sequence

MESSAGE_MOST = 1024
"""Characters of a message, as the service model bounds it."""


class ApiFault(Exception):
    """An error of the API: `code` is what clients see as the error's code, `message` why."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status
        self.message = message[:MESSAGE_MOST]

    def body(self) -> dict[str, str]:
        """The typed body: clients read the code from `__type`; CloudWatch Logs' `message`."""
        return {"__type": self.code, "Message": self.message, "message": self.message}


def validation(message: str) -> ApiFault:
    """The request breaks a rule."""
    return ApiFault("ValidationException", message)


def violations(problems: Sequence[str]) -> ApiFault:
    """The request breaks constraints of its shape; worded as the reference service words it."""
    count = len(problems)
    plural = "" if count == 1 else "s"
    return validation(f"{count} validation error{plural} detected: {'; '.join(problems)}")


def not_found(message: str) -> ApiFault:
    """Nothing has that name."""
    return ApiFault("ResourceNotFound", message)


def in_use(message: str) -> ApiFault:
    """The name is taken, or the thing is being used."""
    return ApiFault("ResourceInUse", message)


def conflict(message: str) -> ApiFault:
    """What is asked does not go with what is there."""
    return ApiFault("ConflictException", message)


def limit_exceeded(message: str) -> ApiFault:
    """More than there may be."""
    return ApiFault("ResourceLimitExceeded", message)
