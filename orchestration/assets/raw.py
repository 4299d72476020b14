"""What comes from outside: the raw data as DVC's manifest names it, and what people decided about releases.

Nothing runs here: `orchestration.observation` reports what there is.
"""

import dagster as dg

from contracts.batches import Kind
from orchestration.asset import CATALOGUE_BATCH, STREET_BATCH
from orchestration.resources import Workspace
from orchestration.verdict_checks import verdict_check

data_manifest = dg.AssetSpec(
    "data_manifest",
    group_name="raw",
    kinds={"dvc"},
    owners=["team:data-stewards"],
    description="`data.dvc` as it is now.",
)

catalogue_batches = dg.AssetSpec(
    "catalogue_batches",
    deps=["data_manifest"],
    partitions_def=CATALOGUE_BATCH,
    group_name="raw",
    kinds={"dvc"},
    owners=["team:data-stewards"],
    description="Accepted batches of articles; the data version is the digest in DVC's manifest.",
)

street_batches = dg.AssetSpec(
    "street_batches",
    deps=["data_manifest"],
    partitions_def=STREET_BATCH,
    group_name="raw",
    kinds={"dvc"},
    owners=["team:data-stewards"],
    description="Accepted batches of photos; the data version is the digest in DVC's manifest.",
)

admission = dg.AssetSpec(
    "admission",
    group_name="sets",
    kinds={"toml"},
    owners=["team:mlops"],
    description="When training sets took in new members last: at once, or the last time that the schedule named.",
)

pin = dg.AssetSpec(
    "pin",
    group_name="release",
    kinds={"json"},
    owners=["team:mlops"],
    description="The version that serves whatever is trained: `threadline rollback` sets it, `threadline unpin` ends.",
)

approval = dg.AssetSpec(
    "approval",
    group_name="release",
    kinds={"json"},
    owners=["team:mlops"],
    description="The proposed package that a person approved: `threadline approve`.",
)


@dg.asset_check(asset="catalogue_batches", required_resource_keys={"workspace"})
def catalogue_verdicts(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every catalogue batch has a verdict in the ledger, and none waits rejected for the steward."""
    return _verdicts(context, "catalogue", CATALOGUE_BATCH)


@dg.asset_check(asset="street_batches", required_resource_keys={"workspace"})
def street_verdicts(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every street batch has a verdict in the ledger, and none waits rejected for the steward."""
    return _verdicts(context, "street", STREET_BATCH)


def _verdicts(
    context: dg.AssetCheckExecutionContext, kind: Kind, partitions: dg.DynamicPartitionsDefinition
) -> dg.AssetCheckResult:
    workspace: Workspace = context.resources.workspace
    batches = partitions.get_partition_keys(dynamic_partitions_store=context.instance)
    return verdict_check(workspace, kind, batches)
