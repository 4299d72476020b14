"""What comes from outside: the raw data as DVC's manifest names it, and what people decided about releases.

Nothing runs here: `orchestration.observation` reports what there is.
"""

from pathlib import Path
from typing import Any

import dagster as dg

from contracts.batches import Kind
from contracts.ledger import read_ledger
from orchestration.asset import CATALOGUE_BATCH, STREET_BATCH
from orchestration.resources import Workspace

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
    description="When training sets took in new members last: at once, or the last time that the schedule named.",
)

pin = dg.AssetSpec(
    "pin",
    group_name="release",
    description="The version that serves whatever is trained: `threadline rollback` sets it, `threadline unpin` ends.",
)

approval = dg.AssetSpec(
    "approval", group_name="release", description="The proposed package that a person approved: `threadline approve`."
)

REPORTS_SHOWN = 20


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
    kind: Kind,
    partitions: dg.DynamicPartitionsDefinition,
) -> dg.AssetCheckResult:
    verdicts = {row.batch: row.verdict for row in read_ledger(workspace.data) if row.kind == kind}
    present = partitions.get_partition_keys(dynamic_partitions_store=context.instance)
    unknown = [batch for batch in present if batch not in verdicts]
    reports = {f"report on {b}": _report(workspace.places.report(kind, b)) for b in present[-REPORTS_SHOWN:]}
    found: dict[str, Any] = {"verdicts": verdicts, "without a verdict": unknown}
    return dg.AssetCheckResult(passed=not unknown, metadata={**found, **reports})


def _report(folder: Path) -> dg.MetadataValue[Any]:
    """A link to the Data Docs of a batch, or where they would be."""
    pages = sorted(folder.rglob("index.html"))
    return dg.MetadataValue.url(pages[0].as_uri()) if pages else dg.MetadataValue.path(folder)
