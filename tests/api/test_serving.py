"""`rightsizer serve` as a process: what it prints, whom it answers, and how it ends."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from rightsizer.api.serving import _hosts, _make_private, _worker_environment, serve
from rightsizer.api.settings import S3Spec, Settings
from rightsizer.errors import ExitCode, RightsizerError

pytestmark = pytest.mark.shared_cpus

RIGHTSIZER = [sys.executable, "-c", "from rightsizer.cli import main; main()"]
VARIABLES = [
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_SAGEMAKER",
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


class Served:
    """A server and its first line."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process, self.errors = process, errors
        assert process.stdout is not None
        self.ready = process.stdout.readline()
        assert self.ready.startswith("ready: export "), errors.read_text()
        words = shlex.split(self.ready.removeprefix("ready: export "))
        self.variables = dict(word.split("=", 1) for word in words)
        self.port = int(self.variables["AWS_ENDPOINT_URL_SAGEMAKER"].rpartition(":")[2])

    def client(self, service: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
        """As a user has it who exported those variables and no others."""
        for name in list(os.environ):
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)
        config = Config(retries={"max_attempts": 0}, read_timeout=20)
        return boto3.session.Session(**settings).client(service, config=config)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it printed after its first line."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest


@contextmanager
def served(store: Path, *arguments: str) -> Iterator[Served]:
    errors = store.with_name(f"{store.name}.errors")
    command = [*RIGHTSIZER, "serve", "--port", "0", "--store", str(store), *arguments]
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment()
        )
    try:
        yield Served(process, errors)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(*arguments: str | Path, **more: str) -> tuple[int, list[str]]:
    """The exit code and the lines of standard error of a server that does not start."""
    done = subprocess.run(
        [*RIGHTSIZER, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**environment(), **more},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


# -- a server ----------------------------------------------------------------------------------


@pytest.mark.server
def test_its_one_line_is_all_that_a_client_needs_and_it_is_the_only_one_of_its_store(
    tmp_path, monkeypatch
):
    store = tmp_path / "a store"
    with served(store) as server:
        assert list(server.variables) == VARIABLES
        sagemaker = server.client("sagemaker", monkeypatch)
        made = sagemaker.create_model_package_group(ModelPackageGroupName="resnets")
        assert made["ModelPackageGroupArn"].endswith(":model-package-group/resnets")
        assert sagemaker.list_inference_recommendations_jobs()["InferenceRecommendationsJobs"] == []
        logs = server.client("logs", monkeypatch)
        with pytest.raises(logs.exceptions.ResourceNotFoundException):
            logs.get_log_events(
                logGroupName="/aws/sagemaker/InferenceRecommendationsJobs",
                logStreamName="none/execution",
            )
        with pytest.raises(ClientError, match="CreateEndpoint is not implemented here"):
            sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        elsewhere = server.client("sagemaker", monkeypatch, region_name="eu-west-1")
        with pytest.raises(ClientError, match="export AWS_DEFAULT_REGION=us-east-1"):
            elsewhere.list_models()
        code, lines = refused("--store", store, "--port", "0")
        assert code == ExitCode.ENVIRONMENT
        assert lines == [
            f"error: {store} is served already: by another process; stop that one, or give "
            "another --store"
        ]
        assert sagemaker.list_models()["Models"] == []
        assert server.end() == (0, "")
        log = server.errors.read_text()
        assert "Traceback" not in log
        secret = Path(server.variables["AWS_SHARED_CREDENTIALS_FILE"]).read_text().split("key = ")
        assert secret[1].split()[0] not in log
        assert len(log.splitlines()) == 3  # one for each refusal


@pytest.mark.server
def test_it_ends_as_asked_leaves_nothing_and_the_next_goes_on(tmp_path, monkeypatch):
    store = tmp_path / "store"
    with served(store) as server:
        before = server.client("sagemaker", monkeypatch)
        before.create_model_package_group(ModelPackageGroupName="kept")
        family = psutil.Process(server.process.pid).children(recursive=True)
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1")  # and no more
            started_s = time.monotonic()
            assert server.end(signal.SIGTERM) == (0, "")
            assert time.monotonic() - started_s < 4
        assert not [child for child in family if child.is_running()]
        assert server.errors.read_text() == ""
        keys = server.variables["AWS_SHARED_CREDENTIALS_FILE"]
    with served(store) as server:  # the same keys, the same things
        after = server.client("sagemaker", monkeypatch)
        groups = after.list_model_package_groups()["ModelPackageGroupSummaryList"]
        assert [group["ModelPackageGroupName"] for group in groups] == ["kept"]
        assert server.variables["AWS_SHARED_CREDENTIALS_FILE"] == keys
        assert server.end(signal.SIGINT) == (0, "")
        assert server.errors.read_text() == ""


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.server
def test_its_settings_a_users_own_keys_and_ipv6_are_used(tmp_path, monkeypatch):
    config, keys = tmp_path / "serve.yaml", tmp_path / "my keys"
    config.write_text("region: eu-west-3\naccount_id: '123456789012'\n")
    keys.touch(0o600)
    keys.write_text(
        "[work]\naws_access_key_id = A\naws_secret_access_key = b\n"
        "[rightsizer]\naws_access_key_id = AKIAMINE\naws_secret_access_key = mine/+=\n"
    )
    host, shown = ("::1", "[::1]") if has_ipv6() else ("127.0.0.1", "127.0.0.1")
    arguments = ("--config", str(config), "--credentials", str(keys), "--host", host)
    with served(tmp_path / "store", *arguments) as server:
        address = f"http://{shown}:{server.port}"
        assert server.variables["AWS_ENDPOINT_URL_SAGEMAKER"] == address
        client = server.client("sagemaker", monkeypatch)
        assert client.create_model(ModelName="m", PrimaryContainer={"Image": "i"})["ModelArn"] == (
            "arn:aws:sagemaker:eu-west-3:123456789012:model/m"
        )
        assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert not (tmp_path / "store" / "credentials").exists()


# -- one that does not start -------------------------------------------------------------------


@pytest.mark.server
def test_all_the_problems_of_its_settings_are_told(tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text("region: moon\nhosts: none.yaml\nfolder: [x]\n")
    code, lines = refused("--config", config, "--store", tmp_path / "store", "--port", "0")
    assert code == 3
    assert len(lines) >= 2
    assert all(line.startswith(f"error: {config}:") for line in lines)
    assert not (tmp_path / "store").exists()


@pytest.mark.server
@pytest.mark.parametrize("missing", ["botocore", "starlette"])
def test_without_its_extra_it_says_what_to_install(tmp_path, missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from rightsizer.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--store", str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"error: the API needs {missing}, which is not installed; "
        "pip install 'rightsizer[api,s3]'\n"
    )


def refusal(store: Path, host: str = "127.0.0.1", port: int = 0, **more: Any) -> RightsizerError:
    """Why a server does not start, without a process of its own."""
    given = {"config": None, "credentials": None, "time_scale": 1.0, "verbose": False, **more}
    with pytest.raises(RightsizerError) as caught:
        serve(host=host, port=port, store=store, **given)
    return caught.value


def test_keys_that_others_can_read_are_refused(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("[rightsizer]\naws_access_key_id = A\naws_secret_access_key = hunter2\n")
    keys.chmod(0o644)
    error = refusal(tmp_path / "store", credentials=keys)
    assert error.exit_code == ExitCode.INPUT
    assert str(error) == (
        f"the credentials file {keys} can be read by others: whoever has it may start servers "
        f"here; chmod 600 {keys}"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "::ffff:zz"])
def test_an_address_that_is_not_this_machines_is_refused(tmp_path, host):
    error = refusal(tmp_path, host)
    assert error.exit_code == ExitCode.ENVIRONMENT
    assert str(error).startswith(f"cannot listen on {host} port 0: ")


def test_no_address_is_not_every_address(tmp_path):
    error = refusal(tmp_path, "")
    assert error.exit_code == ExitCode.USAGE
    assert str(error).startswith("--host is empty: it would listen on every address")


def test_a_port_that_is_taken_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refusal(tmp_path, port=port)
    assert error.exit_code == ExitCode.ENVIRONMENT
    assert str(error) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; give another --port "
        "(0: one that is free) or --host"
    )


def test_a_store_whose_lock_cannot_be_written_is_told(tmp_path):
    (tmp_path / "serve.lock").mkdir()
    error = refusal(tmp_path)
    assert error.exit_code == ExitCode.ENVIRONMENT
    assert str(error).startswith(f"cannot write {tmp_path / 'serve.lock'}: Is a directory")


# -- names -------------------------------------------------------------------------------------


def test_a_store_that_is_there_stays_as_open_as_it_is(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o755)
    for name, mode in (("mine", 0o755), ("new", 0o700)):
        _make_private(tmp_path / name)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_a_worker_signs_with_the_users_keys_unless_the_environment_has_some(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    keys = tmp_path / "keys"
    given = {"AWS_SHARED_CREDENTIALS_FILE": str(keys), "AWS_PROFILE": "rightsizer"}
    without = _worker_environment(Settings(), keys, is_users_own=False)
    assert not given.keys() & without.keys()
    s3 = S3Spec(endpoint_url="http://127.0.0.1:9000")
    for settings, is_users_own in ((Settings(), True), (Settings(s3=s3), False)):
        assert _worker_environment(settings, keys, is_users_own=is_users_own) == without | given
    monkeypatch.setenv("AWS_PROFILE", "work")
    kept = _worker_environment(Settings(), keys, is_users_own=True)
    assert kept == without | {"AWS_PROFILE": "work"}


@pytest.mark.server
def test_a_time_scale_that_would_blur_users_is_refused(tmp_path):
    code, lines = refused("--store", tmp_path / "store", "--time-scale", "0.005")
    assert code == ExitCode.USAGE
    assert "0.01" in lines[0]


def test_a_server_is_called_by_its_addresses_and_its_port():
    local = {"127.0.0.1:8717", "localhost:8717", "[::1]:8717"}
    assert _hosts("127.0.0.1", 8717, Settings()) == local
    assert _hosts("::1", 8717, Settings()) == local
    assert _hosts("fd00::7", 8717, Settings()) == local | {"[fd00::7]:8717"}
    assert "127.0.0.1" in _hosts("127.0.0.1", 80, Settings())


def test_a_name_of_the_settings_may_be_that_of_a_server_before_it():
    found = _hosts("127.0.0.1", 8717, Settings(allowed_hosts=("Sizer.Example",)))
    assert found >= {"sizer.example", "sizer.example:8717"}
