"""The one way an asset of this graph is declared."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from contracts.logs import at
from orchestration.attempts import attempt
from orchestration.code_versions import code_version
from orchestration.freshness import INPUTS_TAG, Lineage, OutOfDate
from orchestration.home import Home
from orchestration.locks import waiting_for
from orchestration.progress import LogReporter, Reporter
from orchestration.resources import Workspace
from orchestration.runs import held_by_run

CATALOGUE_BATCH = dg.DynamicPartitionsDefinition(name="catalogue_batch")
STREET_BATCH = dg.DynamicPartitionsDefinition(name="street_batch")

TRAINING_POOL = "training"
"""What all trainings share: one machine trains one model at a time."""

QUEUE_TAG = "dagster-celery/queue"
"""Celery's workers may take trainings only, or anything but."""

CODE = "code"
"""Under this name an asset's page lists the modules whose change makes it out of date."""

PARTITIONS_A_RUN = 50
"""A new model over a thousand batches starts twenty runs, not a thousand; each is one step, on one worker."""


@dataclass(frozen=True)
class Made:
    """What an asset's body returns: the data version, figures for people, outcomes of checks, tags of the run."""

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, bool] = field(default_factory=dict)
    run_tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """What an asset's body is given."""

    workspace: Workspace
    report: Reporter
    partition: str
    lineage: Lineage

    def version(self, key: str) -> str:
        """The data version of an unpartitioned asset, as it is when the step starts."""
        return self.lineage.data_version(dg.AssetKey(key)) or "none"

    def partitions(self, key: str) -> list[str]:
        """The partitions of an asset that there are now."""
        return [partition for partition in self.lineage.partitions(dg.AssetKey(key)) if partition is not None]


Body = Callable[[Step], Made]


def asset(
    *,
    deps: Sequence[str],
    group: str,
    code: tuple[str, ...],
    libraries: tuple[str, ...] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    kinds: frozenset[str] = frozenset(),
    checks: tuple[str, ...] = (),
) -> Callable[[Body], dg.AssetsDefinition]:
    """Declare an asset whose body takes a `Step` and returns `Made`.

    `code` names the modules whose change makes it out of date, `libraries` the packages whose release does. The
    inputs are recorded as they were when the run began to work: a change meanwhile is seen at the next look. One
    process at a time works on an asset (on a partition, where it has some), and one trains: whoever comes second
    waits, and finds the work done.
    """

    def declare(body: Body) -> dg.AssetsDefinition:
        pool = TRAINING_POOL if "pytorch" in kinds else body.__name__

        def run(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg] # as Dagster reads it
            home: Home = context.resources.workspace.home
            with held_by_run(home, context.run.run_id, body.__name__):
                if partitions is None:
                    with waiting_for(home.lock(pool)):
                        yield _make(context, body)
                else:
                    _make_partitions(context, body)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # of backfill policies
            return dg.asset(
                name=body.__name__,
                description=body.__doc__,
                deps=list(deps),
                group_name=group,
                code_version=code_version(code, libraries),
                metadata={CODE: " ".join(code)},
                partitions_def=partitions,
                backfill_policy=dg.BackfillPolicy.multi_run(PARTITIONS_A_RUN) if partitions else None,
                output_required=partitions is None,  # a partition is recorded as soon as it is made
                kinds=set(kinds),
                owners=["team:mlops"],
                pool=pool,
                op_tags={QUEUE_TAG: "training"} if pool == TRAINING_POOL else {},
                check_specs=[dg.AssetCheckSpec(check, asset=body.__name__) for check in checks],
                automation_condition=OutOfDate(),
                required_resource_keys={"workspace", "watcher"},
            )(run)

    return declare


def _make(context: dg.AssetExecutionContext, body: Body) -> dg.MaterializeResult:  # type: ignore[type-arg]
    made, tags = _attempt(context, body, _lineage(context), None)
    if made.run_tags:
        context.instance.add_run_tags(context.run.run_id, dict(made.run_tags))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(made.data_version[:32]),
        metadata=dict(made.metadata),
        tags=tags,
        check_results=[dg.AssetCheckResult(passed=ok, check_name=name) for name, ok in made.checks.items()],
    )


def _make_partitions(context: dg.AssetExecutionContext, body: Body) -> None:
    """Make each partition of the run and record it at once. One that fails holds up no other; the run then fails."""
    home: Home = context.resources.workspace.home
    lineage = _lineage(context)  # read once: it holds every partition of what this is made from
    failed = []
    for partition in context.partition_keys:
        try:
            with waiting_for(home.lock(f"{context.asset_key.to_user_string()}@{partition}")):
                made, tags = _attempt(context, body, lineage, partition)
        except Exception as error:
            context.log.error(f"{partition}: {error}")
            failed.append((partition, error))
            continue
        context.log_event(
            dg.AssetMaterialization(
                context.asset_key,
                partition=partition,
                metadata=dict(made.metadata),
                tags={DATA_VERSION_TAG: made.data_version[:32], **tags},
            )
        )
    if failed:
        partition, first = failed[0]
        raise dg.Failure(f"{len(failed)} of {len(context.partition_keys)} failed; {partition}: {first}") from first


def _lineage(context: dg.AssetExecutionContext) -> Lineage:
    return Lineage(context.instance, context.job_def.asset_layer.asset_graph)


def _attempt(
    context: dg.AssetExecutionContext, body: Body, lineage: Lineage, partition: str | None
) -> tuple[Made, dict[str, str]]:
    workspace: Workspace = context.resources.workspace
    tags = lineage.tags(context.asset_key, partition)
    report = context.resources.watcher.reporter or LogReporter(context.log.info)
    name = context.asset_key.to_user_string()
    started = time.monotonic()
    is_cancelled = partial(_is_cancelled, context.instance, context.run.run_id)
    run_id = context.run.run_id
    with (
        at(run=run_id, asset=name, partition=partition),
        attempt(workspace.home, name, partition, tags[INPUTS_TAG], run_id, time.time(), is_cancelled),
    ):
        made = body(Step(workspace, report, partition or "", lineage))
    seconds = round(time.monotonic() - started, 1)
    return replace(made, metadata={**made.metadata, "seconds": seconds}), tags


def _is_cancelled(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status == dg.DagsterRunStatus.CANCELING
