"""Bringing the graph up to date in this process: the same rule as the automation's, wave after wave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby

import dagster as dg

from orchestration.asset import PARTITIONS_A_RUN, TRAINING_POOL
from orchestration.attempts import read_attempt, read_attempts
from orchestration.definitions import build_definitions
from orchestration.freshness import Lineage
from orchestration.home import Home
from orchestration.instance import open_instance
from orchestration.locks import alone
from orchestration.memory import forget_peak, peak_mib
from orchestration.observation import observe, record
from orchestration.progress import Reporter
from orchestration.resources import Workspace
from orchestration.runs import RUNNER_TAG, fail_dead_runs, lock_of

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

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


def materialize(
    workspace: Workspace,
    reporter: Reporter | None = None,
    announce: Callable[[Ran], None] = lambda ran: None,
    *,
    only_failed: bool = False,
    assets: Set[dg.AssetKey] | None = None,
) -> Materialised:
    """Make what is out of date until nothing is. A target that fails is not tried again in the same call.

    With `only_failed` only what failed before, and what depends on that; with `assets` only these. Raises
    ThreadlineError when another command is at it in the same workspace. Beside a running `threadline up` each waits
    for what the other is making.
    """
    done = Materialised()
    home = workspace.home
    with alone(home.lock(lock_of("command")), "another `threadline materialize`"), open_instance(home) as instance:
        fail_dead_runs(instance, home, "command")
        definitions = build_definitions(workspace, reporter)
        graph = definitions.resolve_asset_graph()
        job = definitions.resolve_implicit_global_asset_job_def()
        record(observe(workspace, instance, graph), instance)
        wanted = graph.get_all_asset_keys() if assets is None else assets
        if only_failed:
            wanted = wanted & _failed_and_below(home, graph)
        failed: set[Target] = set()
        while wave := [one for one in out_of_date(instance, graph) if one[0] in wanted and one not in failed]:
            # A price, an article or a rollback is not kept waiting by hours of training.
            soon = [one for one in wave if TRAINING_POOL not in (graph.get(one[0]).pools or ())]
            for key, partitions in grouped(soon or wave[:1], Lineage(instance, graph)):
                for ran in _run(job, instance, home, key, partitions):
                    done.ran.append(ran)
                    announce(ran)
                    if ran.error:
                        failed.add((key, ran.partition))
    return done


def out_of_date(instance: dg.DagsterInstance, graph: dg.AssetGraph) -> list[Target]:
    """What should be made now, upstream first."""
    lineage = Lineage(instance, graph)
    return [(key, partition) for key in graph.toposorted_asset_keys for partition in lineage.out_of_date(key)]


def grouped(wave: Sequence[Target], lineage: Lineage) -> Iterator[tuple[dg.AssetKey, list[str | None]]]:
    """The targets as runs: neighbouring partitions of an asset together, up to `PARTITIONS_A_RUN` of them."""
    for key, targets in groupby(wave, key=lambda target: target[0]):
        wanted = {partition for _, partition in targets}
        group: list[str | None] = []
        for partition in lineage.partitions(key):
            if group and (partition not in wanted or len(group) == PARTITIONS_A_RUN):
                yield key, group
                group = []
            if partition in wanted:
                group.append(partition)
        if group:
            yield key, group


def _failed_and_below(home: Home, graph: dg.AssetGraph) -> set[dg.AssetKey]:
    failed = [dg.AssetKey(asset) for asset, _ in read_attempts(home)]
    return set(dg.AssetSelection.assets(*failed).downstream().resolve(graph)) if failed else set()


def _run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    home: Home,
    key: dg.AssetKey,
    partitions: list[str | None],
) -> list[Ran]:
    """Run an asset, or neighbouring partitions of one, and say what became of each."""
    started = time.monotonic()
    forget_peak()
    first, last = partitions[0], partitions[-1]
    several = {RANGE_START: str(first), RANGE_END: str(last)} if len(partitions) > 1 else {}
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[key],
        partition_key=None if several else first,
        run_config=_QUIET,
        tags={RUNNER_TAG: "command", **several},
        raise_on_error=False,
    )
    if _interrupted(result):
        raise KeyboardInterrupt
    seconds = round((time.monotonic() - started) / len(partitions), 1)
    name = key.to_user_string()
    return [Ran(name, one, seconds, peak_mib(), _error(result, home, name, one)) for one in partitions]


def _error(result: dg.ExecuteInProcessResult, home: Home, asset: str, partition: str | None) -> str | None:
    """Why this did not succeed; None when it did, though another partition of its run may have failed."""
    if result.success:
        return None
    left = read_attempt(home, asset, partition)
    if partition is not None and left is None:
        return None
    return left.reason if left is not None and left.reason else _reason(result)


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
