"""The code location of a tiny workspace, for a daemon of its own."""

import os
from pathlib import Path

from orchestration.definitions import build_definitions
from tests.behaviour.tiny import TinyWorkspace

definitions = build_definitions(TinyWorkspace(Path(os.environ["THREADLINE_WORKSPACE"])))
