"""The key pair of the API's clients, in a file of AWS's shared-credentials form."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import stat
import string
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass, field, replace
from pathlib import Path

from rightsizer.errors import EnvironmentFault, InputError

PROFILE = "rightsizer"
_UPPER = string.ascii_uppercase + "234567"
_SECRET = string.ascii_letters + string.digits
_REGION = re.compile(r"region\s*[=:]", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """What clients sign with; the secret shows nowhere."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str


def load_or_make(path: Path, region: str) -> Credentials:
    """The key pair of a file; one that is not there is made, for its owner's eyes alone.

    The region beside it is where clients think that they are: it follows the settings.

    Raises:
        InputError: the file has no profile `rightsizer`, or others may read it.
        EnvironmentFault: it cannot be read or written.
    """
    try:
        if not path.exists():
            return _made(path, region)
        text = _private_text(path)
        found = _read(path, text)
        if found.region != region:
            _put(path, _with_region(text, region))
        return replace(found, region=region)
    except OSError as error:
        why = error.strerror or str(error)
        todo = "mend its permissions, or give another with --credentials"
        raise EnvironmentFault(f"cannot use the credentials file {path}", why, todo) from None


def _made(path: Path, region: str) -> Credentials:
    made = Credentials(
        "AKIA" + "".join(secrets.choice(_UPPER) for _ in range(16)),
        "".join(secrets.choice(_SECRET) for _ in range(40)),
        region,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(path, _text(made))
    return made


def _put(path: Path, text: str) -> None:
    """The file whole or not at all, that nobody else can read at any moment; a link to it stays."""
    target = path.resolve()
    new = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _text(keys: Credentials) -> str:
    return (
        f"[{PROFILE}]\n"
        f"aws_access_key_id = {keys.access_key_id}\n"
        f"aws_secret_access_key = {keys.secret_access_key}\n"
        f"region = {keys.region}\n"
    )


def _private_text(path: Path) -> str:
    """What is in a file that only its owner can read."""
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            what = f"the credentials file {path} can be read by others"
            todo = f"chmod 600 {shlex.quote(str(path))}"
            raise InputError(what, "whoever has it may start servers here", todo)
        content = file.read()
    try:
        return content.decode()
    except UnicodeDecodeError:  # whose message would show what is in it
        raise _unreadable(path) from None


def _read(path: Path, text: str) -> Credentials:
    parser = ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text)
    except ConfigError:  # the same
        raise _unreadable(path) from None
    section = parser[PROFILE] if parser.has_section(PROFILE) else {}
    key, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    if not key or not secret:
        what = f"the credentials file {path} has no profile {PROFILE}"
        why = "aws_access_key_id and aws_secret_access_key are to be under it"
        raise InputError(what, why, "add it, or remove the file: a new one is made")
    return Credentials(key, secret, section.get("region", ""))


def _unreadable(path: Path) -> InputError:
    what = f"the credentials file {path} cannot be read"
    why = "it is not of the form of AWS's shared credentials"
    return InputError(what, why, "mend it, or remove it: a new one is made")


def _with_region(text: str, region: str) -> str:
    """The profile with another region, all else in the file as it was."""
    lines = text.splitlines(keepends=True)
    start = next(
        i for i, line in enumerate(lines, start=1) if line.strip().startswith(f"[{PROFILE}]")
    )
    end = next(
        (i for i in range(start, len(lines)) if lines[i].strip().startswith("[")), len(lines)
    )
    own = [line for line in lines[start:end] if not _REGION.match(line)]
    return "".join([*lines[:start], f"region = {region}\n", *own, *lines[end:]])
