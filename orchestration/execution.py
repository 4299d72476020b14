"""Bringing the graph up to date in this process: the same rule as the automation's, wave after wave."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration.definitions import build_definitions
from orchestration.freshness import Lineage
from orchestration.home import Home
from orchestration.memory import forget_peak, peak_mib
from orchestration.observation import observe, record
from orchestration.progress import Reporter
from orchestration.resources import Workspace

_RUNNER_TAG = {"threadline/runner": "command"}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_DAGSTER_YAML = """\
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
concurrency:
  runs:
    max_concurrent_runs: 1
run_retries:
  enabled: true
  max_retries: 1
"""

Target = tuple[dg.AssetKey, str | None]


@dataclass(frozen=True)
class Ran:
    """One asset, or one partition of it, that was made; `peak_mib` is the most memory the process had meanwhile."""

    asset: str
    partition: str | None
    seconds: float
    peak_mib: int
    error: str | None = None

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.asset} [{self.partition}]" if self.partition else self.asset


@dataclass
class Materialised:
    """What one call did; nothing when everything was up to date."""

    ran: list[Ran] = field(default_factory=list)

    @property
    def failed(self) -> list[Ran]:
        """What did not succeed."""
        return [one for one in self.ran if one.error]


def open_instance(home: Home) -> dg.DagsterInstance:
    """Dagster's instance in the home; made on first use, its telemetry off."""
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        write_text(settings, _DAGSTER_YAML)
    return dg.DagsterInstance.from_config(str(home.dagster))


def materialize(
    workspace: Workspace,
    reporter: Reporter | None = None,
    announce: Callable[[Ran], None] = lambda ran: None,
) -> Materialised:
    """Make what is out of date until nothing is. A target that fails is not tried again in the same call.

    Raises ThreadlineError when another command is at it in the same workspace.
    """
    done = Materialised()
    with _alone(workspace.home.root), open_instance(workspace.home) as instance:
        _fail_orphans(instance)
        definitions = build_definitions(workspace, reporter)
        graph = definitions.resolve_asset_graph()
        job = definitions.resolve_implicit_global_asset_job_def()
        record(observe(workspace, instance, graph), instance)
        failed: set[Target] = set()
        while wave := [target for target in out_of_date(instance, graph) if target not in failed]:
            for key, partition in wave:
                done.ran.append(_run(job, instance, key, partition))
                announce(done.ran[-1])
                if done.ran[-1].error:
                    failed.add((key, partition))
    return done


def out_of_date(instance: dg.DagsterInstance, graph: dg.AssetGraph) -> list[Target]:
    """What should be made now, upstream first."""
    lineage = Lineage(instance, graph)
    return [(key, partition) for key in graph.toposorted_asset_keys for partition in lineage.out_of_date(key)]


def _run(job: dg.JobDefinition, instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> Ran:
    started = time.monotonic()
    forget_peak()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[key],
        partition_key=partition,
        run_config=_QUIET,
        tags=_RUNNER_TAG,
        raise_on_error=False,
    )
    if _interrupted(result):
        raise KeyboardInterrupt
    seconds = round(time.monotonic() - started, 1)
    return Ran(key.to_user_string(), partition, seconds, peak_mib(), None if result.success else _reason(result))


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether the run ended because this process was asked to stop."""
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return any(error is not None and error.cls_name == "DagsterExecutionInterruptedError" for error in failures)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The innermost error of the failed step, in words."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            return error.message.strip() if error else "failed"
    return "failed before it started"


def _fail_orphans(instance: dg.DagsterInstance) -> None:
    """Mark the runs of commands that died as failed: whoever holds the lock knows that none of them lives."""
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING], tags=_RUNNER_TAG)
    for run in instance.get_runs(unfinished):
        instance.report_run_failed(run, "the command that ran this was killed")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the workspace's lock; the kernel releases it when the process ends, however it ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "materialize.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ThreadlineError(
                "another `threadline materialize` works in this workspace", "wait until it has finished"
            ) from error
        yield
