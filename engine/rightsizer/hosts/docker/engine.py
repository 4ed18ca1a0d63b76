"""A Docker engine: the only module that uses the SDK. Every call has a deadline, and fails by one
of three errors of ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import IO, Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.tls import TLSConfig
from docker.types import CancellableStream

from rightsizer.hosts.trust import Tls
from rightsizer.inventory import HostSpec

CALL_S = 10.0
"""What an engine gets to answer. It answers in milliseconds, or has a problem."""
COPY_S = 600.0
"""The same for moving a model to a far host."""

Document = dict[str, Any]


class EngineGone(Exception):
    """The engine does not answer; one line why."""


class Refused(Exception):
    """The engine said no; one line, its own words."""


class Missing(Refused):
    """There is no such image, container, network or volume."""


class _Client(docker.APIClient):  # type: ignore[misc]
    """Deaf to proxies and certificates of the environment: those would win over a host's own."""

    def merge_environment_settings(self, *args: Any) -> Any:
        self.trust_env = False
        return super().merge_environment_settings(*args)

    def _retrieve_server_version(self) -> Any:
        try:
            return super()._retrieve_server_version()
        except BaseException:  # the constructor's: nobody will have a client to close
            self.close()
            raise


class Stream:
    """Documents as they come, until the engine ends them or another thread closes the stream."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Document]:
        with self._response, contextlib.suppress(requests.RequestException, OSError):
            for line in self._response.iter_lines():
                yield json.loads(line)

    def close(self) -> None:
        """Wake the reader; the stream may be broken already."""
        with contextlib.suppress(Exception):
            CancellableStream(iter(()), self._response).close()
            return
        with contextlib.suppress(Exception):  # by ssh the SDK cannot, but its process ends
            self._response.raw._fp.fp.channel.proc.terminate()


class Engine:
    """A connection to a Docker engine; safe for threads. Documents are the API's own."""

    def __init__(self, address: str, tls: Tls | None = None) -> None:
        """Connect.

        Args:
            address: unix://, tcp:// or ssh://.
            tls: files for a tcp:// address.

        Raises:
            EngineGone: nobody answers there.
        """
        self.address = address
        self.unanswered = False
        """Whether a call got no answer: the engine may yet carry it out."""
        if address.startswith("ssh:") and find_spec("paramiko") is None:
            raise EngineGone(f"{address} needs paramiko; pip install 'rightsizer[ssh]'")
        with self._translated():
            self._api = _Client(
                base_url=address,
                timeout=CALL_S,
                tls=False if tls is None else _trust(tls),
                use_ssh_client=True,
            )

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def info(self) -> Document:
        """What the engine and its machine are."""
        return dict(self._call(self._api.info))

    def ping(self) -> None:
        """Have it answer, and do nothing."""
        self._call(self._api.ping)

    def image(self, name: str) -> Document:
        """An image; raises Missing. Nothing is pulled."""
        return dict(self._call(self._api.inspect_image, name))

    def save(self, name: str) -> Iterator[bytes]:
        """An image as a tar archive, piece by piece; raises Missing."""
        with self._patient(COPY_S), self._translated():
            yield from self._api.get_image(name)

    def load(self, archive: Iterable[bytes]) -> None:
        """Take in the images of an archive as `save` gives it."""
        with self._patient(COPY_S), self._translated():
            for said in self._api.load_image(archive):
                if "error" in said:
                    raise Refused(" ".join(str(said["error"]).split()))

    # -- things of ours --------------------------------------------------------------------------

    def create_network(self, name: str, labels: Mapping[str, str], *, internal: bool) -> None:
        """Make a bridge network; an internal one has no way out."""
        self._call(
            self._api.create_network,
            name,
            driver="bridge",
            internal=internal,
            labels=dict(labels),
            check_duplicate=True,
        )

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make an empty volume."""
        self._call(self._api.create_volume, name, labels=dict(labels))

    def create(self, name: str, config: Document) -> str:
        """Make a container; its id. Nothing runs yet."""
        created = self._call(self._api.create_container_from_config, config, name)
        return str(created["Id"])

    def copy_in(self, container: str, folder: str, archive: IO[bytes]) -> None:
        """Unpack a tar archive in a folder of a container that need not run."""
        with self._patient(COPY_S):
            self._call(self._api.put_archive, container, folder, archive)

    def start(self, container: str) -> None:
        """Start it; raises Refused where it cannot even begin."""
        self._call(self._api.start, container)

    def inspect(self, container: str) -> Document:
        """Its state and settings."""
        return dict(self._call(self._api.inspect_container, container))

    def log(self, container: str, lines: int) -> bytes:
        """The last lines that it printed, both streams."""
        said = self._call(self._api.logs, container, tail=lines, stdout=True, stderr=True)
        return bytes(said)

    def stop(self, container: str, grace_s: int) -> None:
        """SIGTERM, and SIGKILL after the grace."""
        self._call(self._api.stop, container, timeout=grace_s)

    def readings(self, container: str) -> Stream:
        """What it uses, about once a second, until it is removed."""
        return self._stream(f"/containers/{container}/stats", {"stream": "true"}, endless=False)

    def events(self, container: str) -> Stream:
        """What happens to it, as it happens, until the stream is closed."""
        filters = json.dumps({"type": ["container"], "container": [container]})
        return self._stream("/events", {"filters": filters}, endless=True)

    # -- sweeping --------------------------------------------------------------------------------

    def labelled(self, label: str) -> dict[str, dict[str, dict[str, str]]]:
        """Labels by id of all that carries a label: of containers, networks and volumes."""
        filters = {"label": [label]}
        containers = self._call(self._api.containers, all=True, filters=filters)
        networks = self._call(self._api.networks, filters=filters)
        volumes = self._call(self._api.volumes, filters=filters)["Volumes"] or []
        return {
            "container": {found["Id"]: found["Labels"] for found in containers},
            "network": {found["Id"]: found["Labels"] for found in networks},
            "volume": {found["Name"]: found["Labels"] for found in volumes},
        }

    def remove(self, kind: str, name: str) -> None:
        """Remove a container with all that runs in it, a network or a volume; none is fine."""
        removers = {
            "container": lambda: self._api.remove_container(name, force=True, v=True),
            "network": lambda: self._api.remove_network(name),
            "volume": lambda: self._api.remove_volume(name, force=True),
        }
        with contextlib.suppress(Missing):
            self._call(removers[kind])

    def _stream(self, path: str, params: Mapping[str, str], *, endless: bool) -> Stream:
        # The SDK's own streams leave the connection open when they break.
        url = f"{self._api.base_url}/v{self._api.api_version}{path}"
        with self._translated():
            response = self._api.get(url, params=dict(params), stream=True, timeout=CALL_S)
            try:
                sock = self._api._get_raw_response_socket(response)  # raises what was refused
                if endless:  # but not before there is an answer
                    self._api._disable_socket_timeout(sock)
            except BaseException:
                response.close()
                raise
            return Stream(response)

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        with self._translated():
            return function(*args, **kwargs)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except NotFound as error:
            raise Missing(_one_line(error)) from None
        except APIError as error:
            raise Refused(_one_line(error)) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, DockerException) as error:
            raise self._gone(_root(error)) from None
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from None

    def _gone(self, why: str) -> EngineGone:
        self.unanswered = True
        return EngineGone(f"no Docker engine answers at {self.address}: {why}")

    @contextlib.contextmanager
    def _patient(self, timeout_s: float) -> Iterator[None]:
        before, self._api.timeout = self._api.timeout, timeout_s
        try:
            yield
        finally:
            self._api.timeout = before


def tls_of(host: HostSpec) -> Tls | None:
    """A resolved host's TLS files."""
    return None if host.tls is None else Tls(host.tls.ca, host.tls.cert, host.tls.key)


def _trust(tls: Tls) -> TLSConfig:
    return TLSConfig(ca_cert=tls.ca, client_cert=(tls.cert, tls.key), verify=True)


def _one_line(error: APIError) -> str:
    return " ".join(str(error.explanation or error).split())


def _root(error: BaseException) -> str:
    """The innermost reason: the SDK wraps each error in several others."""
    seen: Sequence[BaseException] = ()
    while error not in seen:
        seen = (*seen, error)
        inner = error.__cause__ or error.__context__
        inner = inner or next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None:
            break
        error = inner
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(said.split())
