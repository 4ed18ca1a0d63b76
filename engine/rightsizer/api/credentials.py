"""The key pair of the API's clients, in a file of AWS's shared-credentials form."""

from __future__ import annotations

import os
import secrets
import stat
import string
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass, field
from pathlib import Path

from rightsizer.errors import EnvironmentFault, InputError

PROFILE = "rightsizer"
_UPPER = string.ascii_uppercase + "234567"
_SECRET = string.ascii_letters + string.digits


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
            return _make(path, region)
        _require_private(path)
        found = _read(path)
        if found.region != region:
            found = Credentials(found.access_key_id, found.secret_access_key, region)
            _rewrite(path, found)
        return found
    except OSError as error:
        why = error.strerror or str(error)
        todo = "mend its permissions, or give another with --credentials"
        raise EnvironmentFault(f"cannot use the credentials file {path}", why, todo) from None


def _make(path: Path, region: str) -> Credentials:
    made = Credentials(
        "AKIA" + "".join(secrets.choice(_UPPER) for _ in range(16)),
        "".join(secrets.choice(_SECRET) for _ in range(40)),
        region,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_new(path, _text(made))
    return made


def _write_new(path: Path, text: str) -> None:
    """A file that nobody else can read at any moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _text(keys: Credentials) -> str:
    return (
        f"[{PROFILE}]\n"
        f"aws_access_key_id = {keys.access_key_id}\n"
        f"aws_secret_access_key = {keys.secret_access_key}\n"
        f"region = {keys.region}\n"
    )


def _require_private(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        what = f"the credentials file {path} can be read by others"
        raise InputError(what, "whoever has it may start servers here", f"chmod 600 {path}")


def _parsed(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (ConfigError, UnicodeDecodeError):  # whose message would show what is in it
        todo = "mend it, or remove it: a new one is made"
        what = f"the credentials file {path} cannot be read"
        raise InputError(what, "it is not of the form of AWS's shared credentials", todo) from None
    return parser


def _read(path: Path) -> Credentials:
    parser = _parsed(path)
    section = parser[PROFILE] if parser.has_section(PROFILE) else {}
    key, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    if not key or not secret:
        what = f"the credentials file {path} has no profile {PROFILE}"
        why = "aws_access_key_id and aws_secret_access_key are to be under it"
        raise InputError(what, why, "add it, or remove the file: a new one is made")
    return Credentials(key, secret, section.get("region", ""))


def _rewrite(path: Path, keys: Credentials) -> None:
    """Another region, all else in the file as it was."""
    parser = _parsed(path)
    parser[PROFILE]["region"] = keys.region
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        parser.write(file)
    new.replace(path)
