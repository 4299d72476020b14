"""Nothing phones home: the telemetry of the libraries is off unless someone turned it on."""

from __future__ import annotations

import os
import sys

OFF = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


def nothing_phones_home() -> None:
    """Set the environment of this process and its children; what the user has set stays.

    `import openvino` reports the import over the network and knows no variable: whoever imports it calls this first. It
    falls back to a stub where its telemetry package cannot be imported, which a None in `sys.modules` says.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
