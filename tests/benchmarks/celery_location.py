"""The code location of `tests.benchmarks.celery`: a workspace whose sessions note each picture that they compute.

Each is a line `<process group> <method> <digest>` in `computed.log` of the workspace. THREADLINE_BENCH_TINY=true takes
the preset of the tests.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from contracts.logs import log_to
from orchestration.definitions import build_definitions
from orchestration.resources import workspace_from_environment
from orchestration.run_log import log_runs_here
from serving.inference import PackageSession
from tests.behaviour.tiny import TinyWorkspace

METHODS = ("segment", "article_features", "encode_photos")


def _noted(method: Callable[..., Any]) -> Callable[..., Any]:
    def run(session: PackageSession, pictures: Sequence[Any], *given: Any, **named: Any) -> Any:
        made = method(session, pictures, *given, **named)
        digests = [sha256(np.ascontiguousarray(one)).hexdigest()[:16] for one in pictures]
        with (workspace.root / "computed.log").open("a") as log:
            log.writelines(f"{os.getpgrp()} {session.package.digest[:8]}-{method.__name__} {one}\n" for one in digests)
        return made

    return run


for name in METHODS:
    setattr(PackageSession, name, _noted(getattr(PackageSession, name)))

log_to(sys.stderr, logging.WARNING)
log_runs_here()
workspace = workspace_from_environment()
if os.environ.get("THREADLINE_BENCH_TINY") == "true":
    workspace = TinyWorkspace(workspace.root, workspace.services)
definitions = build_definitions(workspace)
