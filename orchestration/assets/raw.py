"""The raw data as DVC's manifest names it. Nothing runs here: `orchestration.observation` reports what is there."""

import dagster as dg

from contracts.ledger import read_ledger
from orchestration.asset import CATALOGUE_BATCH, STREET_BATCH
from orchestration.resources import Workspace

data_manifest = dg.AssetSpec("data_manifest", group_name="raw", kinds={"dvc"}, description="`data.dvc` as it is now.")

catalogue_batches = dg.AssetSpec(
    "catalogue_batches",
    deps=["data_manifest"],
    partitions_def=CATALOGUE_BATCH,
    group_name="raw",
    kinds={"dvc"},
    description="Accepted batches of articles; the data version is the digest in DVC's manifest.",
)

street_batches = dg.AssetSpec(
    "street_batches",
    deps=["data_manifest"],
    partitions_def=STREET_BATCH,
    group_name="raw",
    kinds={"dvc"},
    description="Accepted batches of photos; the data version is the digest in DVC's manifest.",
)


@dg.asset_check(asset="catalogue_batches", required_resource_keys={"workspace"})
def catalogue_verdicts(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every catalogue batch has a verdict in the ledger."""
    return _verdicts(context, context.resources.workspace, "catalogue", CATALOGUE_BATCH)


@dg.asset_check(asset="street_batches", required_resource_keys={"workspace"})
def street_verdicts(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every street batch has a verdict in the ledger."""
    return _verdicts(context, context.resources.workspace, "street", STREET_BATCH)


def _verdicts(
    context: dg.AssetCheckExecutionContext,
    workspace: Workspace,
    kind: str,
    partitions: dg.DynamicPartitionsDefinition,
) -> dg.AssetCheckResult:
    verdicts = {row.batch: row.verdict for row in read_ledger(workspace.data) if row.kind == kind}
    present = partitions.get_partition_keys(dynamic_partitions_store=context.instance)
    unknown = [batch for batch in present if batch not in verdicts]
    return dg.AssetCheckResult(passed=not unknown, metadata={"verdicts": verdicts, "without a verdict": unknown})
