"""Dagster's instance: its settings in the home, its storage there too, or in the PostgreSQL database that is named."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from contracts.errors import ThreadlineError
from contracts.files import write_text
from contracts.logs import without_secrets
from orchestration.home import Home
from orchestration.resources import DAGSTER_VARIABLE
from orchestration.services import without_password

_SETTINGS = """\
# One run at a time makes an asset, and one trains; new articles need not wait for a training.
telemetry:
  enabled: false
nux:  # the dialogue that asks for an e-mail address
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
concurrency:
  pools:
    granularity: run
    default_limit: 1
  runs:
    max_concurrent_runs: 4
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  poll_interval_seconds: 30
"""
TICK_LOGS_KEPT_S = 2 * 24 * 3600.0
"""How long the log of a sensor's tick is kept: the automation writes one every few seconds, whatever it finds."""

_TICK_LOGS_AT_ONCE = 5000
_POSTGRES = {"postgres": {"postgres_url": {"env": DAGSTER_VARIABLE}}}


def open_instance(home: Home) -> dg.DagsterInstance:
    """Dagster's instance; made on first use, its telemetry off.

    Where the workspace has a PostgreSQL database for it, `dagster.yaml` names the environment's variable and never the
    address, which may hold a password. Raises ThreadlineError when that database does not answer.
    """
    _write_settings(home.dagster / "dagster.yaml", home.services.dagster_url is not None)
    if home.services.dagster_url is None:
        return dg.DagsterInstance.from_config(str(home.dagster))
    where = without_password(home.services.dagster_url)
    try:
        return dg.DagsterInstance.from_config(str(home.dagster))
    except ImportError as error:
        raise ThreadlineError(
            f"{DAGSTER_VARIABLE} is set, but {error.name} is not installed",
            "install the extra 'postgres': pip install '.[postgres]' in the checkout",
        ) from error
    except Exception as error:  # of the driver, of SQLAlchemy, or Dagster's own
        problem = f"the database of Dagster at {where} cannot be used: {_first_reason(error)}"
        raise ThreadlineError(problem, "run: threadline doctor") from None


def forget_tick_logs(instance: dg.DagsterInstance, repository: str, now_s: float) -> None:
    """Delete old logs of the repository's sensors, at most some thousands at once: Dagster keeps every one.

    Those that are kept elsewhere than on this machine are left to whoever set that up.
    """
    logs = instance.compute_log_manager
    if isinstance(logs, LocalComputeLogManager):
        folder = Path(logs.get_captured_local_path([repository, "sensor"], "err")).parent
        old = (path for path in folder.glob("*/*.err") if now_s - path.stat().st_mtime > TICK_LOGS_KEPT_S)
        for path in islice(old, _TICK_LOGS_AT_ONCE):
            path.unlink()


def _first_reason(error: BaseException) -> str:
    """What went wrong first, in one line."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return without_secrets(str(error)).strip().partition("\n")[0]


def _write_settings(path: Path, postgres: bool) -> None:
    """Make `dagster.yaml`, or change its storage where another one is asked for; what an operator wrote there stays."""
    if not path.exists():
        write_text(path, _SETTINGS)
    held: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if postgres and held.get("storage") != _POSTGRES:
        write_text(path, yaml.safe_dump({**held, "storage": _POSTGRES}, sort_keys=False))
    elif not postgres and held.get("storage") == _POSTGRES:
        write_text(path, yaml.safe_dump({key: held[key] for key in held if key != "storage"}, sort_keys=False))
