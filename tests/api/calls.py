"""Operations called as over the wire: through the API's shapes and botocore's own parser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.paginate import Paginator
from botocore.parsers import ResponseParserFactory
from botocore.validate import ParamValidator
from rightsizer.api import shapes, tags
from rightsizer.api.context import Context
from rightsizer.api.faults import ApiFault
from rightsizer.api.jobs.journal import tags_of
from rightsizer.api.operations import OPERATIONS
from rightsizer.api.settings import Settings
from rightsizer.registry import Registry
from rightsizer.store import Store


@cache
def service_model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"))


@cache
def paginators() -> Mapping[str, Any]:
    found: Mapping[str, Any] = Loader().load_service_model("sagemaker", "paginators-1")
    return found["pagination"]


@dataclass
class Api:
    """`api("CreateModel", ModelName="m")` calls an operation; its answer as a client gets it."""

    context: Context
    now_s: float = 1_700_000_000.25
    jobs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """The engine's own tags by the names of jobs, as if there were such."""

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        self.now_s += 1
        prefix, service = "SageMaker", "sagemaker"
        if operation == "GetLogEvents":
            prefix, service = "Logs_20140328", "logs"
        wrong = ParamValidator().validate(
            request, service_model(service).operation_model(operation).input_shape
        )
        assert not wrong.has_errors(), wrong.generate_report()
        target = f"{prefix}.{operation}"
        asked = shapes.read(target, json.loads(json.dumps(request)))
        answer = (OPERATIONS | tags.operations(self._tags))[target](self.context, asked)
        return received(service, operation, shapes.write(target, answer))

    def refusal(self, operation: str, **request: Any) -> ApiFault:
        with pytest.raises(ApiFault) as caught:
            self(operation, **request)
        return caught.value

    def pages(self, operation: str, **request: Any) -> list[dict[str, Any]]:
        """All pages of a list, as boto3's paginator walks them."""

        def call(**asked: Any) -> dict[str, Any]:
            return self(operation, **asked)

        model = service_model("sagemaker").operation_model(operation)
        return list(Paginator(call, paginators()[operation], model).paginate(**request))

    def _tags(self, context: Context, name: str) -> Mapping[str, str] | None:
        return self.jobs[name] if name in self.jobs else tags_of(context, name)


@contextmanager
def api_in(folder: Path, settings: Settings | None = None, **more: Any) -> Iterator[Api]:
    """All operations on a store of their own, at a clock that each call moves on."""
    with Store(folder) as store:
        context = Context(
            store,
            Registry(store),
            settings or Settings(),
            folder,
            now_s=lambda: api.now_s,
            **more,
        )
        api = Api(context)
        yield api


def received(service: str, operation: str, body: bytes) -> dict[str, Any]:
    """An answer after botocore's parser, times as numbers.

    Fails where members are missing, unknown or of a wrong type, or are lost by the parser.
    """
    shape = service_model(service).operation_model(operation).output_shape
    if shape is None:
        assert body == b""
        return {}
    sent = json.loads(body)
    wrong = ParamValidator().validate(_as_modelled(sent), shape)
    assert not wrong.has_errors(), wrong.generate_report()
    factory = ResponseParserFactory()
    factory.set_parser_defaults(timestamp_parser=float)
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed: dict[str, Any] = factory.create_parser("json").parse(response, shape)
    del parsed["ResponseMetadata"]
    # As text: NaN is not equal to itself.
    assert json.dumps(parsed, sort_keys=True) == json.dumps(sent, sort_keys=True), (
        "the client's parser loses something"
    )
    return parsed


def _as_modelled(value: Any) -> Any:
    """Without empty EnvironmentParameters: the reference's samples have them, against its model."""
    if isinstance(value, dict):
        return {
            key: _as_modelled(one)
            for key, one in value.items()
            if (key, one) != ("EnvironmentParameters", [])
        }
    return [_as_modelled(one) for one in value] if isinstance(value, list) else value
