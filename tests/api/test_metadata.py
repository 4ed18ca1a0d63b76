"""ListModelMetadata: the table, its filters and its pages."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rightsizer.api.settings import MetadataSpec, Settings

from tests.api.calls import Api, api_in

COLUMNS = ["Domain", "Task", "Framework", "FrameworkVersion", "Model"]


@pytest.fixture
def api(tmp_path: Path):
    with api_in(tmp_path / "kept") as opened:
        yield opened


def listed(api: Api, **filters: str) -> list[dict[str, str]]:
    wanted = [{"Name": name, "Value": value} for name, value in filters.items()]
    answer = api("ListModelMetadata", SearchExpression={"Filters": wanted})
    return answer["ModelMetadataSummaries"]


def test_the_table_loads_into_a_frame_as_the_reference_notebook_loads_it(api):
    summaries = api("ListModelMetadata")["ModelMetadataSummaries"]
    frame = pd.DataFrame({name: [one[name] for one in summaries] for name in COLUMNS})
    frame = frame.sort_values(by=["Domain", "Task", "Framework", "FrameworkVersion"])
    nearest = frame[(frame["Model"] == "resnet50") & (frame["Framework"] == "TENSORFLOW")]
    assert list(nearest["Domain"]) == ["COMPUTER_VISION"]
    assert set(frame["Framework"]) == {
        "TENSORFLOW",
        "PYTORCH",
        "MXNET",
        "XGBOOST",
        "SAGEMAKER-SCIKIT-LEARN",
    }
    assert set(frame["Domain"]) == {
        "COMPUTER_VISION",
        "NATURAL_LANGUAGE_PROCESSING",
        "MACHINE_LEARNING",
    }
    assert not frame.duplicated().any()


def test_all_filters_must_fit_to_the_letter(api):
    rows = listed(api, Domain="COMPUTER_VISION", Task="IMAGE_CLASSIFICATION", Framework="MXNET")
    assert {row["Model"] for row in rows} == {"resnet50", "resnet18v2-gluon", "densenet201-gluon"}
    version = rows[0]["FrameworkVersion"]
    assert listed(api, Framework="MXNET", FrameworkVersion=version, Task="OBJECT_DETECTION")
    assert listed(api, Framework="MXNET", Domain="MACHINE_LEARNING") == []
    assert listed(api, Framework="mxnet") == []


def test_an_expression_without_filters_finds_everything(api):
    everything = api("ListModelMetadata")
    assert api("ListModelMetadata", SearchExpression={}) == everything


def test_rows_of_the_settings_come_first_and_are_filtered_alike(tmp_path):
    own = MetadataSpec(
        domain="COMPUTER_VISION", task="OTHER", framework="ONNX", model="ours", framework_version=""
    )
    with api_in(tmp_path / "kept", Settings(metadata=(own,))) as api:
        first = api("ListModelMetadata", MaxResults=1)["ModelMetadataSummaries"]
        assert first == listed(api, Framework="ONNX")
        assert first == [
            {
                "Domain": "COMPUTER_VISION",
                "Task": "OTHER",
                "Framework": "ONNX",
                "Model": "ours",
                "FrameworkVersion": "",
            }
        ]


def test_pages_hold_the_whole_table_in_its_order(api):
    everything = api("ListModelMetadata")["ModelMetadataSummaries"]
    seen: list[dict[str, str]] = []
    request: dict[str, object] = {"MaxResults": 7}
    while True:
        answer = api("ListModelMetadata", **request)
        seen += answer["ModelMetadataSummaries"]
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]
    assert seen == everything
