"""The key pair of clients: made once, for its owner's eyes, and read by botocore."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import botocore.session
import pytest
from rightsizer.api.credentials import Credentials, load_or_make
from rightsizer.errors import EnvironmentFault, InputError

THEIRS = """\
# my keys
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = d3fault%secret
s3 =
    max_concurrent_requests = 20

[rightsizer]
; of the machine under the desk
aws_access_key_id = AKIAMINE
Region = eu-west-1
aws_secret_access_key = mine/with%odd+signs=

[profile-of-work]
aws_access_key_id = AKIAWORK
aws_secret_access_key = w0rk
region = eu-west-1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials"


def private(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def refusal(path: Path, kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        load_or_make(path, "us-east-1")
    return str(caught.value)


def as_botocore(
    path: Path, monkeypatch: pytest.MonkeyPatch, profile: str = "rightsizer"
) -> Credentials:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path.parent / "none"))
    session = botocore.session.Session(profile=profile)
    found = session.get_credentials()
    return Credentials(found.access_key, found.secret_key, session.get_config_variable("region"))


def test_a_key_pair_is_made_as_botocore_reads_it(path, monkeypatch):
    made = load_or_make(path, "eu-central-1")
    assert made.access_key_id.startswith("AKIA")
    assert len(made.access_key_id) == 20
    assert len(made.secret_access_key) == 40
    assert made == as_botocore(path, monkeypatch)
    assert made.region == "eu-central-1"


def test_it_is_kept_at_the_next_start(path):
    made = load_or_make(path, "us-east-1")
    before = path.stat()
    assert load_or_make(path, "us-east-1") == made
    assert path.stat().st_ino == before.st_ino  # not written again


def test_no_two_are_alike(tmp_path):
    made = [load_or_make(tmp_path / str(i), "us-east-1") for i in range(20)]
    assert len({keys.access_key_id for keys in made}) == 20
    assert len({keys.secret_access_key for keys in made}) == 20


def test_its_folder_is_made_where_it_is_not(tmp_path):
    path = tmp_path / "a" / "b" / "credentials"
    assert load_or_make(path, "us-east-1") == load_or_make(path, "us-east-1")


@pytest.mark.parametrize("text", [None, THEIRS])
def test_nobody_else_can_read_it_at_any_moment(path, text, monkeypatch):
    if text:
        private(path, text)
    modes = []

    def opened(*args, **kwargs):
        descriptor = real(*args, **kwargs)
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    real = os.open
    before = os.umask(0)
    try:
        monkeypatch.setattr(os, "open", opened)
        load_or_make(path, "us-east-1")
        monkeypatch.undo()
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [name for name in os.listdir(path.parent) if name.startswith("credentials.")]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_use_is_refused(path, mode):
    load_or_make(path, "us-east-1")
    path.chmod(mode)
    said = refusal(path)
    assert said.endswith(f"chmod 600 {path}")
    path.chmod(0o600)
    load_or_make(path, "us-east-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[default]\naws_access_key_id = AKIASECRET\naws_secret_access_key = hunter2\n",
        "[rightsizer]\naws_access_key_id = AKIASECRET\n",
        "[rightsizer]\naws_access_key_id =\naws_secret_access_key = hunter2\n",
        # not a profile whose values all others have
        "[DEFAULT]\naws_access_key_id = AKIASECRET\naws_secret_access_key = x\n[rightsizer]\n",
    ],
)
def test_a_file_without_the_profile_is_refused(path, text):
    said = refusal(private(path, text))
    assert said.startswith(f"the credentials file {path} has no profile rightsizer: ")
    assert "add it, or remove the file" in said
    assert "hunter2" not in said
    assert "AKIASECRET" not in said
    assert path.read_text() == text


@pytest.mark.parametrize(
    "content",
    [
        b"hunter2\n",
        b"\xff\xfehunter2\x00",
        b"[rightsizer\nhunter2",
        b"[rightsizer]\nhunter2\n",
        b"[rightsizer]\na=hunter2\na=hunter2\n",
        b"[rightsizer]\na=hunter2\n[rightsizer]\nb=hunter2\n",
        b'{"rightsizer": "hunter2"}',
    ],
)
def test_garbage_is_refused_without_showing_it(path, content):
    said = refusal(private(path, content))
    assert said == (
        f"the credentials file {path} cannot be read: it is not of the form of AWS's shared "
        "credentials; mend it, or remove it: a new one is made"
    )


def test_a_users_own_file_works(path, monkeypatch):
    assert load_or_make(private(path, THEIRS), "eu-west-1") == Credentials(
        "AKIAMINE", "mine/with%odd+signs=", "eu-west-1"
    )
    assert path.read_text() == THEIRS
    assert as_botocore(path, monkeypatch) == load_or_make(path, "eu-west-1")


def test_another_region_changes_nothing_else_of_a_users_file(path, monkeypatch):
    found = load_or_make(private(path, THEIRS), "ap-south-1")
    assert found == Credentials("AKIAMINE", "mine/with%odd+signs=", "ap-south-1")
    assert as_botocore(path, monkeypatch) == found
    assert as_botocore(path, monkeypatch, "profile-of-work") == Credentials(
        "AKIAWORK", "w0rk", "eu-west-1"
    )
    left = path.read_text().splitlines()
    assert left.count("region = ap-south-1") == 1
    left.remove("region = ap-south-1")
    assert left == [line for line in THEIRS.splitlines() if line != "Region = eu-west-1"]


def test_a_file_without_a_region_gets_one(path, monkeypatch):
    text = "[rightsizer]\r\naws_access_key_id=AKIAMINE\r\naws_secret_access_key=s"
    found = load_or_make(private(path, text), "us-east-1")
    assert found == Credentials("AKIAMINE", "s", "us-east-1")
    assert load_or_make(path, "us-east-1") == found == as_botocore(path, monkeypatch)


def test_a_link_stays_one(tmp_path):
    real = private(tmp_path / "real", THEIRS)
    link = tmp_path / "link"
    link.symlink_to(real)
    load_or_make(link, "us-east-1")
    assert link.is_symlink()
    assert "region = us-east-1" in real.read_text()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for path in (file / "credentials", file / "folder" / "credentials"):
        said = refusal(path, EnvironmentFault)
        assert said.startswith(f"cannot use the credentials file {path}: ")
        assert said.endswith("give another with --credentials")


def test_a_folder_in_its_place_is_told(tmp_path):
    said = refusal(tmp_path, EnvironmentFault)
    assert f"cannot use the credentials file {tmp_path}: Is a directory" in said


def test_the_secret_shows_nowhere(path):
    made = load_or_make(path, "us-east-1")
    assert made.secret_access_key not in f"{made} {made!r}"
