"""The code location of a tiny workspace on Celery, whose sessions note each picture they compute and take their time.

Each picture is a line `<process group> <method>` in `computed.log` of the workspace.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contracts.logs import log_to
from orchestration.definitions import build_definitions
from orchestration.resources import services_from_environment
from orchestration.run_log import log_runs_here
from serving.inference import PackageSession
from tests.behaviour.tiny import TinyWorkspace

ROOT = Path(os.environ["THREADLINE_WORKSPACE"])
A_PICTURE_S = 1.0


def _noted(method: Callable[..., Any]) -> Callable[..., Any]:
    def run(session: PackageSession, pictures: Sequence[Any], *given: Any, **named: Any) -> Any:
        for _ in pictures:
            with (ROOT / "computed.log").open("a") as log:
                log.write(f"{os.getpgrp()} {method.__name__}\n")
            time.sleep(A_PICTURE_S)
        return method(session, pictures, *given, **named)

    return run


for name in ("article_features", "segment"):
    setattr(PackageSession, name, _noted(getattr(PackageSession, name)))

log_to(sys.stderr, logging.WARNING)  # as the code location of every workspace does
log_runs_here()
definitions = build_definitions(TinyWorkspace(ROOT, services=services_from_environment()))
