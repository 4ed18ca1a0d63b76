"""ListModelMetadata: well-known models by domain, framework and task, to name one as the nearest.

The rows are a small table of this project's own, with the reference service's columns and words;
serve.yaml's rows stand before it. Nothing is measured by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import starmap

from rightsizer.api.context import Answer, Context, Operation, Request
from rightsizer.api.paging import page
from rightsizer.api.settings import MetadataSpec

VISION, LANGUAGE = "COMPUTER_VISION", "NATURAL_LANGUAGE_PROCESSING"
TABULAR = "MACHINE_LEARNING"

# domain, task, framework, model, framework version
_ROWS = (
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "resnet50", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "resnet152", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "densenet201", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "efficientnetb7", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "inception-v3", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "mobilenetv2", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "nasnetlarge", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "vgg16", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "TENSORFLOW", "xception", "2.11.0"),
    (VISION, "IMAGE_CLASSIFICATION", "PYTORCH", "resnet50", "1.13.1"),
    (VISION, "IMAGE_CLASSIFICATION", "PYTORCH", "resnet152", "1.13.1"),
    (VISION, "IMAGE_CLASSIFICATION", "PYTORCH", "densenet201", "1.13.1"),
    (VISION, "IMAGE_CLASSIFICATION", "PYTORCH", "mobilenetv2", "1.13.1"),
    (VISION, "IMAGE_CLASSIFICATION", "PYTORCH", "vit-base-patch16-224", "1.13.1"),
    (VISION, "IMAGE_CLASSIFICATION", "MXNET", "resnet50", "1.8.0"),
    (VISION, "IMAGE_CLASSIFICATION", "MXNET", "resnet18v2-gluon", "1.8.0"),
    (VISION, "IMAGE_CLASSIFICATION", "MXNET", "densenet201-gluon", "1.8.0"),
    (VISION, "OBJECT_DETECTION", "TENSORFLOW", "ssd-mobilenetv2", "2.11.0"),
    (VISION, "OBJECT_DETECTION", "PYTORCH", "fasterrcnn-resnet50", "1.13.1"),
    (VISION, "OBJECT_DETECTION", "PYTORCH", "yolov5s", "1.13.1"),
    (VISION, "OBJECT_DETECTION", "MXNET", "ssd-resnet50-gluon", "1.8.0"),
    (VISION, "IMAGE_SEGMENTATION", "TENSORFLOW", "unet", "2.11.0"),
    (VISION, "IMAGE_SEGMENTATION", "PYTORCH", "deeplabv3-resnet50", "1.13.1"),
    (LANGUAGE, "FILL_MASK", "TENSORFLOW", "bert-base-uncased", "2.11.0"),
    (LANGUAGE, "FILL_MASK", "PYTORCH", "bert-base-cased", "1.13.1"),
    (LANGUAGE, "FILL_MASK", "PYTORCH", "bert-base-uncased", "1.13.1"),
    (LANGUAGE, "FILL_MASK", "PYTORCH", "distilbert-base-uncased", "1.13.1"),
    (LANGUAGE, "FILL_MASK", "PYTORCH", "roberta-base", "1.13.1"),
    (LANGUAGE, "CLASSIFICATION", "PYTORCH", "distilbert-base-uncased", "1.13.1"),
    (LANGUAGE, "TEXT_GENERATION", "PYTORCH", "gpt2", "1.13.1"),
    (LANGUAGE, "TEXT_GENERATION", "PYTORCH", "t5-small", "1.13.1"),
    (TABULAR, "CLASSIFICATION", "XGBOOST", "xgboost", "1.7-1"),
    (TABULAR, "REGRESSION", "XGBOOST", "xgboost", "1.7-1"),
    (TABULAR, "CLASSIFICATION", "SAGEMAKER-SCIKIT-LEARN", "sagemaker-scikit-learn", "1.2-1"),
    (TABULAR, "REGRESSION", "SAGEMAKER-SCIKIT-LEARN", "sagemaker-scikit-learn", "1.2-1"),
)


def list_model_metadata(context: Context, request: Request) -> Answer:
    """The rows that all filters fit, to the letter; in the table's order."""
    table = [
        *map(_row, context.settings.metadata),
        *starmap(_columns, _ROWS),
    ]
    filters = (request.get("SearchExpression") or {}).get("Filters") or []
    fitting = [
        (place, row)
        for place, row in enumerate(table)
        if all(row[wanted["Name"]] == wanted["Value"] for wanted in filters)
    ]
    shown, token = page("ListModelMetadata", fitting, request, lambda placed: (placed[0],))
    return {"ModelMetadataSummaries": [row for _, row in shown], "NextToken": token}


def _row(spec: MetadataSpec) -> dict[str, str]:
    return _columns(spec.domain, spec.task, spec.framework, spec.model, spec.framework_version)


def _columns(domain: str, task: str, framework: str, model: str, version: str) -> dict[str, str]:
    return {
        "Domain": domain,
        "Framework": framework,
        "Task": task,
        "Model": model,
        "FrameworkVersion": version,
    }


OPERATIONS: Mapping[str, Operation] = {"SageMaker.ListModelMetadata": list_model_metadata}
