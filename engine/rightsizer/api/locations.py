"""Where a model or payload lies: what is an address, and which may be read. No network here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from rightsizer.api.settings import Settings
from rightsizer.errors import InputError

BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class S3Object:
    """One object of a bucket."""

    bucket: str
    key: str

    @property
    def shown(self) -> str:
        """Its address, for people."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class WebObject:
    """What an https:// address gives; http:// only at the S3 endpoint."""

    url: str

    @property
    def shown(self) -> str:
        """Its address, for people: a query may hold a signature, which is a secret."""
        return self.url.partition("#")[0].partition("?")[0]


@dataclass(frozen=True)
class LocalFile:
    """A file in one of the folders that settings allow; the path has no links in it."""

    path: Path

    @property
    def shown(self) -> str:
        """Its address, for people."""
        return f"file://{self.path}"


Location = S3Object | WebObject | LocalFile


def refused(shown: str, why: str, todo: str) -> InputError:
    """Every failure to bring something in, in one form."""
    return InputError(f"cannot fetch {shown}", why, todo)


def locate(url: str, settings: Settings, base_dir: Path) -> Location:
    """What an address stands for. Folders of the settings are relative to `base_dir`.

    Raises:
        InputError: it is no address, names a folder, or may not be read here.
    """
    scheme, found, rest = url.partition("://")
    scheme = scheme.lower()
    if found and scheme == "s3":
        return _s3(rest)
    if found and scheme in DEFAULT_PORTS:
        return _web(url, settings)
    if found and scheme == "file":
        return _local(rest, settings, base_dir)
    shown = WebObject(url).shown
    raise refused(
        shown, "it is in no place that can be read", "give s3://BUCKET/KEY, https:// or file:///"
    )


def _s3(rest: str) -> S3Object:
    bucket, _, key = rest.partition("/")
    shown = f"s3://{rest}"
    if not BUCKET.fullmatch(bucket):
        raise refused(shown, f"{bucket!r} is no bucket's name", "give s3://BUCKET/KEY")
    if "?versionId=" in key:  # what fetches would pass over it
        raise refused(shown, "versions cannot be asked for", "remove ?versionId=")
    if not key or key.endswith("/"):
        raise _folder(shown)
    return S3Object(bucket, key)


def _web(url: str, settings: Settings) -> Location:
    shown = WebObject(url).shown
    try:
        parts = urlsplit(url)
        origin = origin_of(parts)
    except ValueError as error:
        raise refused(shown, f"it is no address: {error}", "give https://HOST/PATH") from None
    if "@" in parts.netloc:
        name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise refused(name, "an address holds no user or password", "use a presigned address")
    if not parts.hostname:
        raise refused(shown, "it names no host", "give https://HOST/PATH")
    endpoint = urlsplit(settings.s3.endpoint_url) if settings.s3 is not None else None
    if endpoint is not None and origin == origin_of(endpoint):
        if not parts.query:  # not presigned: read with the credentials of s3://
            inside = unquote(parts.path).removeprefix(endpoint.path.rstrip("/"))
            return _s3(inside.lstrip("/"))
    elif parts.scheme != "https":
        todo = "give https://, or make it s3.endpoint_url of serve.yaml"
        raise refused(shown, "http:// is read from the S3 endpoint alone", todo)
    if parts.path.endswith("/") or not parts.path:
        raise _folder(shown)
    return WebObject(url)


def origin_of(url: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port; ValueError where the port is none."""
    return url.scheme, url.hostname or "", url.port or DEFAULT_PORTS.get(url.scheme, 0)


def _local(rest: str, settings: Settings, base_dir: Path) -> LocalFile:
    host, slash, path = rest.partition("/")
    written, shown = unquote(slash + path), f"file://{rest}"
    if host not in ("", "localhost") or not slash or "\0" in written:
        raise refused(shown, "it is no path of this machine", "give file:///FOLDER/FILE")
    # Links are followed first: what counts is where the file really lies.
    real = Path(os.path.realpath(written))
    folders = [Path(os.path.realpath(base_dir / folder)) for folder in settings.folders]
    if not any(real.is_relative_to(folder) for folder in folders):
        todo = "put it into one of them, or add its folder to folders of serve.yaml"
        raise refused(shown, "it lies in no folder that the server may read", todo)
    if written.endswith("/") or real in folders:
        raise _folder(shown)
    return LocalFile(real)


def _folder(shown: str) -> InputError:
    todo = "give the address of one .tar.gz file"
    return refused(shown, "it is a folder, not a file object", todo)
