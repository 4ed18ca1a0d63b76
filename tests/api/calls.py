"""Operations called as over the wire: through botocore's shapes in both directions."""

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
from botocore.parsers import ResponseParserFactory
from botocore.validate import ParamValidator
from rightsizer.api import groups, metadata, models, packages, tags
from rightsizer.api.context import Context
from rightsizer.api.faults import ApiFault
from rightsizer.api.settings import Settings
from rightsizer.registry import Registry
from rightsizer.store import Store


@cache
def service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"))


@dataclass
class Api:
    """`api("CreateModel", ModelName="m")` calls an operation; its answer as a client gets it."""

    context: Context
    now_s: float = 1_700_000_000.25
    jobs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """The engine's own tags by the names of jobs that there are."""

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        self.now_s += 1
        shape = service_model().operation_model(operation).input_shape
        wrong = ParamValidator().validate(request, shape)
        assert not wrong.has_errors(), wrong.generate_report()
        operations = {
            **groups.OPERATIONS,
            **packages.OPERATIONS,
            **models.OPERATIONS,
            **metadata.OPERATIONS,
            **tags.operations(lambda _, name: self.jobs.get(name)),
        }
        answer = operations[f"SageMaker.{operation}"](self.context, json.loads(json.dumps(request)))
        return received(operation, answer)

    def refusal(self, operation: str, **request: Any) -> ApiFault:
        with pytest.raises(ApiFault) as caught:
            self(operation, **request)
        return caught.value


@contextmanager
def api_in(folder: Path, settings: Settings | None = None) -> Iterator[Api]:
    """The registry's operations on a store of their own, at a clock that each call moves on."""
    with Store(folder) as store:
        registry = Registry(store)
        context = Context(store, registry, settings or Settings(), folder, now_s=lambda: api.now_s)
        api = Api(context)
        yield api


def received(operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer after botocore's parser, times as numbers.

    Fails where members are missing, unknown or of a wrong type, or are lost by the parser.
    """
    sent = _without_none(answer)
    shape = service_model().operation_model(operation).output_shape
    if shape is None:
        assert sent == {}
        return {}
    wrong = ParamValidator().validate(sent, shape)
    assert not wrong.has_errors(), wrong.generate_report()
    factory = ResponseParserFactory()
    factory.set_parser_defaults(timestamp_parser=float)
    response = {"status_code": 200, "headers": {}, "body": json.dumps(sent).encode()}
    parsed = factory.create_parser("json").parse(response, shape)
    del parsed["ResponseMetadata"]
    assert parsed == sent, "the client's parser loses something"
    return parsed


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_none(one) for one in value]
    return value
