"""Bringing models and payloads in: from folders, from a real S3 server, over TLS."""

from __future__ import annotations

import io
import os
import ssl
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rightsizer.api import fetching, remote_objects
from rightsizer.api.fetching import check_url, fetch, fetch_payload
from rightsizer.api.settings import S3Spec, Settings
from rightsizer.errors import EnvironmentFault, InputError

from tests.certificates import make_certificates

pytestmark = pytest.mark.shared_cpus

BODY = bytes(range(256)) * 12_000
"""Several pieces long."""


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return packed.getvalue()


@pytest.fixture
def into(tmp_path: Path) -> Iterator[Path]:
    """Where a test fetches to; whatever happens, nothing half done is left beside it."""
    folder = tmp_path / "into"
    folder.mkdir()
    yield folder / "model.tar.gz"
    assert {path.name for path in folder.iterdir()} <= {"model.tar.gz"}


def refusal(url: str, into: Path, settings: Settings, base_dir: Path, **more: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        fetch(url, into, settings, base_dir, **more)
    assert not into.exists()
    assert caught.value.what.startswith("cannot fetch ")
    assert caught.value.why
    assert caught.value.todo
    return caught.value


# Folders of this machine


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


FOLDERS = Settings(folders=("models",))


def test_a_file_of_an_allowed_folder_arrives_whole(models, into):
    (models / "a.tar.gz").write_bytes(BODY)
    (models / "link").symlink_to("a.tar.gz")
    for name in ("a.tar.gz", "link"):
        fetch(f"file://{models}/{name}", into, FOLDERS, models.parent)
        assert into.read_bytes() == BODY


def test_what_was_there_before_is_replaced_only_by_a_whole_file(models, into):
    into.write_bytes(b"old")
    (models / "a.tar.gz").write_bytes(BODY)
    with pytest.raises(InputError):
        fetch(f"file://{models}/a.tar.gz", into, FOLDERS, models.parent, limit_bytes=len(BODY) - 1)
    assert into.read_bytes() == b"old"
    fetch(f"file://{models}/a.tar.gz", into, FOLDERS, models.parent, limit_bytes=len(BODY))
    assert into.read_bytes() == BODY


def test_a_file_outside_of_the_folders_is_not_read(models, into):
    (models.parent / "secret").write_bytes(BODY)
    (models / "link").symlink_to(models.parent / "secret")
    for name in ("../secret", "link"):
        error = refusal(f"file://{models}/{name}", into, FOLDERS, models.parent)
        assert "no folder" in error.why


def test_a_link_that_is_put_there_after_the_check_is_not_followed(models, into, monkeypatch):
    secret = models.parent / "secret"
    secret.write_bytes(BODY)
    (models / "a.tar.gz").write_bytes(b"harmless")
    found = fetching.locate(f"file://{models}/a.tar.gz", FOLDERS, models.parent)
    (models / "a.tar.gz").unlink()
    (models / "a.tar.gz").symlink_to(secret)
    monkeypatch.setattr(fetching, "locate", lambda *_: found)
    assert "symbolic links" in refusal("file:///x", into, FOLDERS, models.parent).why


def test_a_pipe_a_folder_and_a_missing_file_are_refused_at_once(models, into):
    os.mkfifo(models / "pipe")
    (models / "folder").mkdir()
    whys = {
        name: refusal(f"file://{models}/{name}", into, FOLDERS, models.parent, limit_s=5).why
        for name in ("pipe", "folder", "missing")
    }
    assert whys == {
        "pipe": "it is not a regular file",
        "folder": "Is a directory",
        "missing": "No such file or directory",
    }


def test_an_empty_file_is_refused(models, into):
    (models / "a.tar.gz").touch()
    assert refusal(f"file://{models}/a.tar.gz", into, FOLDERS, models.parent).why == "it is empty"


def test_a_folder_that_takes_no_file_is_a_fault_of_this_machine(models, tmp_path):
    (models / "a.tar.gz").write_bytes(BODY)
    with pytest.raises(EnvironmentFault, match="cannot keep file://"):
        fetch(f"file://{models}/a.tar.gz", tmp_path / "gone" / "a", FOLDERS, tmp_path)


# Payloads


def test_a_payload_is_an_archive_of_files(models, into):
    (models / "a.tar.gz").write_bytes(archive(one=b"1", two=b"2"))
    fetch_payload(f"file://{models}/a.tar.gz", into, FOLDERS, models.parent)
    with tarfile.open(into) as tar:
        assert tar.getnames() == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\xd8 a picture", "is not gzip; pack it with `tar -czf`"),
        (archive(), "holds no file; put at least one file into it"),
        (archive(one=b"1" * 99)[:-20], "is truncated; make or copy it again"),
    ],
    ids=["a picture", "no file", "cut short"],  # an archive holds the time it was made at
)
def test_a_payload_that_is_none_is_a_payload_error_that_names_its_address(
    models, into, body, message
):
    url = f"file://{models}/a.tar.gz"
    (models / "a.tar.gz").write_bytes(body)
    with pytest.raises(InputError) as caught:
        fetch_payload(url, into, FOLDERS, models.parent)
    assert str(caught.value) == f"PayloadError: {url} {message}"
    assert not into.exists()


def test_a_payload_that_is_not_there_is_a_payload_error_too(models, into):
    with pytest.raises(InputError, match=r"^PayloadError: cannot fetch file://.*No such file"):
        fetch_payload(f"file://{models}/a.tar.gz", into, FOLDERS, models.parent)


# Without the network


def test_an_address_is_checked_without_the_network():
    check_url("s3://models/a.tar.gz", Settings(), Path("/"))
    check_url("https://nowhere.invalid/a.tar.gz", Settings(), Path("/"))
    for url in ("ftp://host/a", "s3://models/", "file:///etc/passwd", "http://host/a"):
        with pytest.raises(InputError):
            check_url(url, Settings(), Path("/"))


def test_without_the_extra_remote_objects_are_refused_by_name(models, into, monkeypatch):
    monkeypatch.setattr(remote_objects.importlib.util, "find_spec", lambda name: None)
    for url in ("s3://models/a.tar.gz", "https://host/a.tar.gz"):
        with pytest.raises(InputError, match=r"s3fs is not installed; pip install 'rightsizer\[s3"):
            check_url(url, Settings(), Path("/"))
    (models / "a.tar.gz").write_bytes(BODY)
    fetch(f"file://{models}/a.tar.gz", into, FOLDERS, models.parent)
    assert into.read_bytes() == BODY


# S3


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of it, and its credentials in the environment; no other configuration is seen."""
    import boto3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    client.create_bucket(Bucket="models")
    yield client
    client.close()
    asked(moto_url, "reset")


def asked(moto_url: str, what: str, body: bytes = b"") -> None:
    """Something of moto's own interface."""
    import httpx

    httpx.post(f"{moto_url}/moto-api/{what}", content=body, trust_env=False).raise_for_status()


@pytest.fixture
def at_moto(moto_url: str) -> Settings:
    return Settings(s3=S3Spec(endpoint_url=moto_url, region="us-east-1"))


@pytest.mark.server
def test_an_object_that_boto3_uploaded_arrives_whole(s3, at_moto, into, tmp_path, moto_url):
    (tmp_path / "model.tar.gz").write_bytes(BODY)
    for key in ("model.tar.gz", "a folder/mödel +1#.tar.gz"):
        s3.upload_file(str(tmp_path / "model.tar.gz"), "models", key)
        fetch(f"s3://models/{key}", into, at_moto, tmp_path)
        assert into.read_bytes() == BODY
        into.unlink()
    fetch(f"{moto_url}/models/model.tar.gz", into, at_moto, tmp_path)
    assert into.read_bytes() == BODY


@pytest.mark.server
def test_the_endpoint_may_come_from_the_environment(s3, into, tmp_path, moto_url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    s3.put_object(Bucket="models", Key="a", Body=BODY)
    fetch("s3://models/a", into, Settings(), tmp_path)
    assert into.read_bytes() == BODY


@pytest.mark.server
def test_a_presigned_address_at_the_endpoint_is_read(s3, at_moto, into, tmp_path):
    s3.put_object(Bucket="models", Key="a", Body=BODY)
    url = s3.generate_presigned_url("get_object", {"Bucket": "models", "Key": "a"})
    fetch(url, into, at_moto, tmp_path)
    assert into.read_bytes() == BODY


@pytest.mark.server
def test_what_is_missing_in_s3_is_told(s3, at_moto, into, tmp_path):
    key = refusal("s3://models/nothing.tar.gz", into, at_moto, tmp_path)
    assert key.why == "it is not in S3 (The specified key does not exist.)"
    bucket = refusal("s3://nowhere/a.tar.gz", into, at_moto, tmp_path)
    assert bucket.why == "it is not in S3 (The specified bucket does not exist)"


@pytest.mark.server
def test_a_prefix_in_s3_is_a_folder_and_no_object(s3, at_moto, into, tmp_path):
    s3.put_object(Bucket="models", Key="folder/a", Body=BODY)
    error = refusal("s3://models/folder", into, at_moto, tmp_path)
    assert error.why == "it is a folder, not a file object"


@pytest.mark.server
def test_an_empty_object_and_one_over_the_limit_are_refused(s3, at_moto, into, tmp_path):
    s3.put_object(Bucket="models", Key="empty", Body=b"")
    assert refusal("s3://models/empty", into, at_moto, tmp_path).why == "it is empty"
    s3.put_object(Bucket="models", Key="a", Body=BODY)
    error = refusal("s3://models/a", into, at_moto, tmp_path, limit_bytes=len(BODY) - 1)
    assert error.why == "it is over 3.072 MB"


@pytest.mark.server
def test_an_object_that_may_not_be_read_is_told_with_what_to_check(
    s3, at_moto, into, tmp_path, moto_url
):
    s3.put_object(Bucket="models", Key="a", Body=BODY)
    asked(moto_url, "reset-auth", b"0")  # from now on it asks who somebody is
    try:
        error = refusal("s3://models/a", into, at_moto, tmp_path)
    finally:
        asked(moto_url, "reset-auth", b"inf")
    assert error.why.startswith("no permission (")
    assert "AWS_ACCESS_KEY_ID" in error.todo
    assert "a-secret" not in str(error)


@pytest.mark.server
def test_without_credentials_only_anonymous_objects_are_read(
    s3, at_moto, into, tmp_path, moto_url, monkeypatch
):
    s3.put_object(Bucket="models", Key="a", Body=BODY, ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refusal("s3://models/a", into, at_moto, tmp_path)
    assert error.why.startswith("no credentials for S3 (")
    assert "s3.anonymous" in error.todo
    fetch(
        "s3://models/a", into, Settings(s3=S3Spec(endpoint_url=moto_url, anonymous=True)), tmp_path
    )
    assert into.read_bytes() == BODY


@pytest.mark.server
def test_a_wrong_endpoint_is_told_within_seconds(s3, into, tmp_path, web):
    closed = Settings(s3=S3Spec(endpoint_url="http://127.0.0.1:1"))
    error = refusal("s3://models/a", into, closed, tmp_path)
    assert error.why.startswith("S3 gave no answer that can be used (Could not connect to the end")
    assert "s3.endpoint_url" in error.todo
    other = Settings(s3=S3Spec(endpoint_url=f"{web}/not-s3"))
    assert refusal("s3://models/a", into, other, tmp_path).todo


# Over TLS


class Pages(BaseHTTPRequestHandler):
    """A server of a few addresses, each with its own manner."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        match path:
            case "/a.tar.gz":
                self._send(200, BODY)
            case "/encoded.tar.gz":
                self._send(200, archive(one=b"1"), **{"content-encoding": "gzip"})
            case "/to":
                self._send(302, b"", location=query)
            case "/status":
                self._send(int(query), b"no")
            case "/cut":
                self._send(200, BODY, length=len(BODY) + 1)
                self.close_connection = True
            case "/endless":
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                try:
                    while not self.server.closing.wait(0.02):
                        self.wfile.write(b"x" * 1000)
                except OSError:
                    pass
            case "/silent" | "/silent/a":
                self.server.closing.wait(30)
            case _:
                self._send(404, b"nothing")

    def _send(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.closing = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A client that went away, or does not trust us, is what a test meant."""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An https:// server whose certificate this process trusts."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    make_certificates(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with serving(context) as port:
        yield f"https://127.0.0.1:{port}"


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = Server()
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=partial(server.serve_forever, 0.02))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.server
def test_a_file_at_an_https_address_arrives_whole_also_by_a_redirect(web, into, tmp_path):
    for path in ("/a.tar.gz?token=1", "/to?/a.tar.gz", f"/to?{web}/to?/a.tar.gz"):
        fetch(web + path, into, Settings(), tmp_path)
        assert into.read_bytes() == BODY
        into.unlink()


@pytest.mark.server
def test_an_archive_that_is_sent_as_encoded_stays_packed(web, into, tmp_path):
    fetch_payload(f"{web}/encoded.tar.gz", into, Settings(), tmp_path)
    assert into.read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.server
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/a", "ftp://127.0.0.1/a", "file:///etc/hosts"]
)
def test_a_redirect_to_another_scheme_is_not_followed(web, into, tmp_path, target):
    error = refusal(f"{web}/to?{target}", into, Settings(), tmp_path)
    assert error.why == f"it leads to {target}, and only https:// is followed"


@pytest.mark.server
def test_a_redirect_without_an_end_is_given_up(web, into, tmp_path):
    # Each leads to itself: what follows the first ? is where it goes.
    url = f"{web}/to?/to?" + "/to?" * 20
    assert refusal(url, into, Settings(), tmp_path).why == "over 5 redirects"


@pytest.mark.server
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nothing", "there is nothing (status 404)"),
        ("/status?403", "no permission (status 403)"),
        ("/status?500", "the answer is no file (status 500)"),
        ("/cut", "the answer was cut off"),
    ],
)
def test_answers_that_are_no_file_are_told(web, into, tmp_path, path, why):
    assert refusal(web + path, into, Settings(), tmp_path).why == why


@pytest.mark.server
def test_an_answer_without_an_end_is_bounded_in_size_and_in_time(web, into, tmp_path):
    error = refusal(f"{web}/endless", into, Settings(), tmp_path, limit_bytes=5000)
    assert error.why == "it is over 5 kB"
    begin_s = time.monotonic()
    error = refusal(f"{web}/endless", into, Settings(), tmp_path, limit_s=0.5)
    assert error.why.startswith("it did not come within 0.5 s")
    assert time.monotonic() - begin_s < 10


@pytest.mark.server
def test_a_server_that_is_silent_is_given_up(into, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_objects, "SILENCE_S", 0.3)
    with serving() as port:
        at_s3 = Settings(s3=S3Spec(endpoint_url=f"http://127.0.0.1:{port}", anonymous=True))
        error = refusal(f"http://127.0.0.1:{port}/silent?presigned", into, at_s3, tmp_path)
        assert error.why == "no answer within 0.3 s"
        error = refusal("s3://silent/a", into, at_s3, tmp_path)
        assert error.why.startswith("S3 gave no answer that can be used (Read timeout")


@pytest.mark.server
def test_a_server_that_nobody_vouches_for_is_not_believed(web, into, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    error = refusal(f"{web}/a.tar.gz?token=hunter2", into, Settings(), tmp_path)
    assert "certificate" in error.why
    assert "hunter2" not in str(error)
    gone = refusal("https://127.0.0.1:1/a?token=hunter2", into, Settings(), tmp_path)
    assert gone.why.startswith("no connection (")
    assert "hunter2" not in str(gone)
