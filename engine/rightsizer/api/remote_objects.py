"""Objects in S3 and at https:// addresses, read piece by piece through fsspec.

fsspec, s3fs and aiohttp come with the extra `s3`, and are imported only where something is read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

from rightsizer import units
from rightsizer.api.locations import S3Object, WebObject, origin_of, refused
from rightsizer.api.settings import S3Spec
from rightsizer.errors import InputError
from rightsizer.hosts.trust import trust_of

PIECE_BYTES = 1 << 20
CONNECT_S, SILENCE_S = 10.0, 60.0
"""The longest wait for a connection, and for the next byte."""
TRIES = 2
MOST_REDIRECTS = 5
S3_CREDENTIALS = (
    "check the credentials in the server's environment (AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY, or AWS_PROFILE), or s3.anonymous of serve.yaml"
)


def require_extra(shown: str) -> None:
    """Raises InputError where what reads remote objects is not installed."""
    if not all(importlib.util.find_spec(name) for name in ("fsspec", "s3fs", "aiohttp")):
        raise refused(shown, "s3fs is not installed", "pip install 'rightsizer[s3]'")


async def s3_pieces(
    found: S3Object, s3: S3Spec | None, limit_bytes: int
) -> AsyncGenerator[bytes, None]:
    """An object's bytes in order; without a spec from AWS itself, by the process's environment.

    Raises:
        InputError: why it could not be read, to its end.
    """
    import fsspec
    from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

    try:
        filesystem = fsspec.filesystem("s3", **_s3_options(s3))
        filesystem.retries = TRIES
        async with _opened(filesystem, f"{found.bucket}/{found.key}") as file:
            try:
                while piece := await file.read(PIECE_BYTES):
                    if file.size > limit_bytes:
                        raise too_big(found.shown, limit_bytes)
                    yield piece
            except FileNotFoundError as error:
                raise await _not_in_s3(filesystem, found, error) from None
    except InputError:
        raise
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise refused(found.shown, f"no credentials for S3 ({error})", S3_CREDENTIALS) from None
    except PermissionError as error:
        raise refused(found.shown, f"no permission ({error})", S3_CREDENTIALS) from None
    except (BotoCoreError, OSError, ValueError, KeyError) as error:
        where = "s3.endpoint_url and s3.region of serve.yaml" if s3 else "the network, AWS_REGION"
        why = f"S3 gave no answer that can be used ({_first_line(error)})"
        raise refused(found.shown, why, f"check {where}") from None


def _s3_options(s3: S3Spec | None) -> dict[str, Any]:
    waits = {"connect_timeout": CONNECT_S, "read_timeout": SILENCE_S}
    options: dict[str, Any] = {
        "asynchronous": True,
        "skip_instance_cache": True,  # it would outlive its loop, and the environment's credentials
        "config_kwargs": {**waits, "retries": {"max_attempts": TRIES - 1}},
    }
    if s3 is not None:
        options |= {
            "endpoint_url": s3.endpoint_url,
            "anon": s3.anonymous,
            "client_kwargs": {"region_name": s3.region},
        }
    return options


async def _not_in_s3(filesystem: Any, found: S3Object, error: Exception) -> InputError:
    try:
        info = await filesystem._info(f"{found.bucket}/{found.key}")
        is_folder = info["type"] == "directory"
    except Exception:  # it only words the refusal; to list may be forbidden where to read is not
        is_folder = False
    if is_folder:
        todo = "give the address of one .tar.gz file"
        return refused(found.shown, "it is a folder, not a file object", todo)
    why = f"it is not in S3 ({_first_line(error)})"
    return refused(found.shown, why, "upload it, or mend the bucket and key")


async def web_pieces(found: WebObject) -> AsyncGenerator[bytes, None]:
    """The bytes that an address gives, in order and as they are sent.

    Redirects are followed from https:// to https:// alone.

    Raises:
        InputError: why it could not be read, to its end.
    """
    import aiohttp
    import fsspec

    todo = "mend the address, or copy the file to where it can be read"
    try:
        filesystem = fsspec.filesystem(
            "https", asynchronous=True, skip_instance_cache=True, client_kwargs=_client(found)
        )
        # A size that is known spares asking by HEAD, which presigned addresses do not answer.
        options = {"size": 0, "max_redirects": MOST_REDIRECTS}
        async with _opened(filesystem, found.url, **options) as file:
            while piece := await file.read(PIECE_BYTES):
                yield piece
    except InputError:
        raise
    except FileNotFoundError:
        raise refused(found.shown, "there is nothing (status 404)", todo) from None
    except aiohttp.TooManyRedirects:
        raise refused(found.shown, f"over {MOST_REDIRECTS} redirects", todo) from None
    except aiohttp.ClientResponseError as error:
        why = "no permission" if error.status in (401, 403) else "the answer is no file"
        raise refused(found.shown, f"{why} (status {error.status})", todo) from None
    except TimeoutError:
        raise refused(found.shown, f"no answer within {SILENCE_S:g} s", todo) from None
    except aiohttp.ClientPayloadError:
        raise refused(found.shown, "the answer was cut off", "try again") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        why = _first_line(error).replace(found.url, found.shown)
        raise refused(found.shown, f"no connection ({why})", todo) from None


def _client(found: WebObject) -> dict[str, Any]:
    """How aiohttp's session is made; within the loop that uses it."""
    import aiohttp

    async def may_follow(_session: Any, _context: Any, redirect: Any) -> None:
        target = urljoin(str(redirect.response.url), redirect.response.headers.get("location", ""))
        start, to = urlsplit(found.url), urlsplit(target)
        if to.scheme != start.scheme or (to.scheme == "http" and origin_of(to) != origin_of(start)):
            why = f"it leads to {WebObject(target).shown}, and only https:// is followed"
            raise refused(found.shown, why, "give the address it leads to, if that may be read")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(may_follow)
    return {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
        "connector": aiohttp.TCPConnector(ssl=trust_of(None)),
        "trace_configs": [trace],
        "trust_env": True,  # proxies
        # A .tar.gz that is sent as gzip-encoded tar would arrive unpacked.
        "auto_decompress": False,
        "headers": {"Accept-Encoding": "identity", "User-Agent": "rightsizer"},
    }


@asynccontextmanager
async def _opened(filesystem: Any, path: str, **options: Any) -> AsyncIterator[Any]:
    """A file of which nothing was asked yet."""
    session = await filesystem.set_session()
    file = await filesystem.open_async(path, **options)
    try:
        yield file
    finally:
        # Before the file: it breaks the connection off, where the file would wait for a goodbye.
        await session.close()
        await file.close()


def too_big(shown: str, limit_bytes: int) -> InputError:
    """It holds more than it may."""
    return refused(shown, f"it is over {units.size(limit_bytes)}", "make it smaller")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
