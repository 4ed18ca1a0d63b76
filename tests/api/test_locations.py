"""Addresses of models and payloads: what is one, and which may be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.api.locations import LocalFile, S3Object, WebObject, locate
from rightsizer.api.settings import S3Spec, Settings
from rightsizer.errors import InputError

NOTHING = Settings()
MINIO = Settings(s3=S3Spec(endpoint_url="http://127.0.0.1:9000/"))


def why_not(url: str, settings: Settings = NOTHING, base_dir: Path = Path("/")) -> InputError:
    with pytest.raises(InputError) as caught:
        locate(url, settings, base_dir)
    assert caught.value.what.startswith("cannot fetch ")
    assert caught.value.todo
    return caught.value


def test_an_object_of_s3_is_taken_as_it_is_written():
    assert locate("s3://models/a/b c#1?x%20.tar.gz", NOTHING, Path("/")) == S3Object(
        "models", "a/b c#1?x%20.tar.gz"
    )
    assert locate("S3://models/a.tar.gz", NOTHING, Path("/")) == S3Object("models", "a.tar.gz")


@pytest.mark.parametrize("url", ["s3://models", "s3://models/", "s3://models/folder/"])
def test_a_bucket_or_a_folder_of_it_is_no_object(url):
    assert why_not(url).why == "it is a folder, not a file object"


@pytest.mark.parametrize("url", ["s3:///key", "s3://a:b/key", "s3://ä/key", "s3://"])
def test_what_cannot_be_a_bucket_is_refused(url):
    assert why_not(url).why.endswith("is no bucket's name")


def test_a_version_of_an_object_is_refused_rather_than_passed_over():
    assert why_not("s3://models/a.tar.gz?versionId=3").why == "versions cannot be asked for"


@pytest.mark.parametrize(
    "url", ["models/a.tar.gz", "/models/a", "ftp://host/a", "s3:a/b", "", "://"]
)
def test_other_places_are_refused(url):
    assert why_not(url).why == "it is in no place that can be read"


def test_https_is_read_and_http_is_not():
    url = "https://example.com/a.tar.gz?signature=1"
    assert locate(url, NOTHING, Path("/")) == WebObject(url)
    assert "alone" in why_not("http://example.com/a.tar.gz", MINIO).why
    assert "alone" in why_not("http://127.0.0.1:9000/a.tar.gz").why
    assert "alone" in why_not("http://127.0.0.1:9001/models/a.tar.gz", MINIO).why


@pytest.mark.parametrize("url", ["https://", "https:///a", "https://host:x/a", "https://[::1/a"])
def test_an_https_address_that_is_none_is_refused(url):
    assert "no address" in why_not(url).why or "no host" in why_not(url).why


@pytest.mark.parametrize("url", ["https://host", "https://host/", "https://host/folder/?x=1"])
def test_a_folder_at_an_https_address_is_refused(url):
    assert why_not(url).why == "it is a folder, not a file object"


def test_secrets_in_an_address_are_not_repeated():
    error = why_not("https://user:hunter2@host/a?token=hunter3#hunter4")
    assert "password" in error.why
    assert "hunter" not in str(error)
    assert WebObject("https://host/a?token=x#y").shown == "https://host/a"
    assert "hunter" not in str(why_not("http://host/a?token=hunter3"))


def test_an_address_under_the_s3_endpoint_is_an_object_unless_it_is_presigned():
    assert locate("http://127.0.0.1:9000/models/a%20b.tar.gz", MINIO, Path("/")) == S3Object(
        "models", "a b.tar.gz"
    )
    signed = "http://127.0.0.1:9000/models/a.tar.gz?X-Amz-Signature=1"
    assert locate(signed, MINIO, Path("/")) == WebObject(signed)
    assert "folder" in why_not("http://127.0.0.1:9000/models/", MINIO).why


def test_an_endpoint_may_lie_below_a_path_and_leave_its_port_out():
    settings = Settings(s3=S3Spec(endpoint_url="https://host/s3/"))
    found = locate("https://host:443/s3/models/a.tar.gz", settings, Path("/"))
    assert found == S3Object("models", "a.tar.gz")


@pytest.fixture
def folders(tmp_path: Path) -> Settings:
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models-of-others").mkdir()
    for name in ("models/a b.tar.gz", "models-of-others/a.tar.gz", "secret"):
        (tmp_path / name).write_bytes(b"x")
    return Settings(folders=("models",))


def test_a_file_in_an_allowed_folder_is_read(tmp_path, folders):
    found = LocalFile(tmp_path / "models" / "a b.tar.gz")
    assert locate(f"file://{tmp_path}/models/a%20b.tar.gz", folders, tmp_path) == found
    assert locate(f"file://localhost{tmp_path}/models/a b.tar.gz", folders, tmp_path) == found
    assert locate(f"file://{tmp_path}/models/deep/../a b.tar.gz", folders, tmp_path) == found


@pytest.mark.parametrize(
    "inside",
    [
        "secret",
        "models/../secret",
        "models/%2e%2e/secret",
        "models/deep/../../secret",
        "models-of-others/a.tar.gz",
        "models/link",
        "models/folder-link/secret",
        "models/relative-link",
        "nowhere",
    ],
)
def test_a_file_outside_is_refused_whatever_leads_there(tmp_path, folders, inside):
    (tmp_path / "models" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "models" / "folder-link").symlink_to(tmp_path)
    (tmp_path / "models" / "relative-link").symlink_to("../models-of-others/a.tar.gz")
    error = why_not(f"file://{tmp_path}/{inside}", folders, tmp_path)
    assert error.why == "it lies in no folder that the server may read"


def test_without_folders_no_file_is_read(tmp_path, folders):
    url = f"file://{tmp_path}/models/a b.tar.gz"
    assert "no folder" in why_not(url, NOTHING, tmp_path).why
    assert "no folder" in why_not(url, folders, tmp_path / "models").why


@pytest.mark.parametrize("url", ["file://host/models/a", "file://models", "file:///models/%00"])
def test_a_file_of_another_machine_or_of_none_is_refused(url, folders, tmp_path):
    assert why_not(url, folders, tmp_path).why == "it is no path of this machine"


def test_an_allowed_folder_may_itself_be_a_link(tmp_path, folders):
    (tmp_path / "elsewhere").symlink_to(tmp_path / "models")
    settings = Settings(folders=("elsewhere",))
    found = LocalFile(tmp_path / "models" / "a b.tar.gz")
    assert locate(f"file://{tmp_path}/elsewhere/a b.tar.gz", settings, tmp_path) == found


def test_the_folder_itself_is_no_file(tmp_path, folders):
    assert "folder, not" in why_not(f"file://{tmp_path}/models", folders, tmp_path).why
    assert "folder, not" in why_not(f"file://{tmp_path}/models/deep/", folders, tmp_path).why
