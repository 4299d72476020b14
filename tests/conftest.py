"""What every test shares: real data where it is named, and a quiet, offline environment."""

from __future__ import annotations

import gc
import importlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

from contracts.quiet import nothing_phones_home

nothing_phones_home()

# Each training collects garbage, which is often enough; looking through a million objects in between costs a tenth.
gc.set_threshold(50_000, 20, 100)

ROOT = Path(__file__).resolve().parent.parent


@sa.event.listens_for(sa.Engine, "connect")
def waits_for_no_disk(connection: Any, _record: Any) -> None:
    """Databases of tests outlive their processes, as they do in use; losing power in a test is no case here."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


def one_engine_a_database(create: Callable[..., sa.Engine]) -> Callable[..., sa.Engine]:
    """`create`, but the same engine for the same database: Dagster makes one a statement, which compiles it anew."""
    engines: dict[str, sa.Engine] = {}

    def create_engine(url: str, **settings: Any) -> sa.Engine:
        if url not in engines:
            engines[url] = create(url, **settings)
        return engines[url]

    return create_engine


for _storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
    _storage.create_engine = one_engine_a_database(_storage.create_engine)


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: a tenth of the time is waiting for servers and for sleep to end."""
    return (os.cpu_count() or 1) + 1


LONGEST_FIRST = (
    "tests/pipeline/test_demo",
    "tests/behaviour/test_daemon",
    "tests/behaviour/test_change_table",
    "tests/pipeline/test_without_pairs",
    "tests/behaviour/test_killed",
    "tests/pipeline/test_after_the_demo",  # by another process than the demo, which has been made by then
    "tests/behaviour/",
    "tests/training/",
    "tests/browser/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the processes which share the tests end together."""
    items.sort(key=lambda item: next((n for n, part in enumerate(LONGEST_FIRST) if part in item.nodeid), 99))


@pytest.fixture(scope="session", autouse=True)
def gives_way_to_the_demo(request: pytest.FixtureRequest) -> None:
    """The demo is the longest of all that cannot be shared out: whoever began with something else leaves it a core."""
    if "PYTEST_XDIST_WORKER" in os.environ and LONGEST_FIRST[0] not in request._pyfuncitem.nodeid:
        os.nice(5)


HEAVY = (
    "training.street2fashion",
    "training.reid_baseline",
    "training.matching",
    "training.fashion_dna",
    "training.export",
    "torch.onnx._internal.exporter._core",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "openvino",
    "orchestration.definitions",
    "orchestration.expectations.validate",
    "great_expectations.datasource.fluent",
    "great_expectations.expectations.core",
    "networkx",
    "dvc.repo",
    "serving.app",
)


def pytest_collection_finish() -> None:
    """The modules that are loaded by now stay; no collection of garbage need look through them again.

    A process that shares the tests comes to need all of them, and each training collects garbage.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        for module in HEAVY:
            importlib.import_module(module)
        gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The project's own directory."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures that THREADLINE_REAL_DATA names; unset skips, set but empty fails."""
    named = os.environ.get("THREADLINE_REAL_DATA")
    if named is None:
        pytest.skip("THREADLINE_REAL_DATA is not set: no real pictures to test on")
    folder = Path(named)
    assert folder.is_dir() and any(folder.iterdir()), f"THREADLINE_REAL_DATA names {folder}, which holds nothing"
    return folder
