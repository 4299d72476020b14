"""The one way an asset of this graph is declared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from orchestration.code_versions import code_version
from orchestration.freshness import INPUTS_TAG, Lineage, out_of_date
from orchestration.progress import LogReporter, Reporter
from orchestration.resources import Workspace

CATALOGUE_BATCH = dg.DynamicPartitionsDefinition(name="catalogue_batch")
STREET_BATCH = dg.DynamicPartitionsDefinition(name="street_batch")


@dataclass(frozen=True)
class Made:
    """What an asset's body returns: the data version, figures for people, and the outcome of its checks."""

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, bool] = field(default_factory=dict)


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
    inputs are recorded as they were when the body started: a change while it runs is seen at the next look.
    """

    def declare(body: Body) -> dg.AssetsDefinition:
        @dg.asset(
            name=body.__name__,
            description=body.__doc__,
            deps=list(deps),
            group_name=group,
            code_version=code_version(code, libraries),
            partitions_def=partitions,
            kinds=set(kinds),
            check_specs=[dg.AssetCheckSpec(check, asset=body.__name__) for check in checks],
            automation_condition=out_of_date(),
            required_resource_keys={"workspace", "watcher"},
        )
        def run(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg] # as Dagster reads it
            lineage = Lineage(context.instance, context.job_def.asset_layer.asset_graph)
            partition = context.partition_key if context.has_partition_key else None
            inputs = lineage.inputs(context.asset_key, partition) or "incomplete"
            report = context.resources.watcher.reporter or LogReporter(context.log.info)
            made = body(Step(context.resources.workspace, report, partition or "", lineage))
            return dg.MaterializeResult(
                data_version=dg.DataVersion(made.data_version[:32]),
                metadata=dict(made.metadata),
                tags={INPUTS_TAG: inputs},
                check_results=[dg.AssetCheckResult(passed=ok, check_name=name) for name, ok in made.checks.items()],
            )

        return run

    return declare
