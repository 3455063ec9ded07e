"""Servers that fail: MLflow down at the start, going away in the middle, hanging, and back; a disk that is full."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.flow

BRISK = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""The product's bounds, shorter: nobody has to wait for what is down on purpose."""
