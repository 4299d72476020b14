"""The code location of a workspace with a delivery, whose daemon is killed at each of the points once."""

import os
from pathlib import Path

import pytest

from orchestration.definitions import build_definitions
from tests.behaviour.delivery import note_work
from tests.behaviour.tiny import TinyWorkspace

_root = Path(os.environ["THREADLINE_WORKSPACE"])
note_work(_root, pytest.MonkeyPatch(), deadly=True)
definitions = build_definitions(TinyWorkspace(_root))
