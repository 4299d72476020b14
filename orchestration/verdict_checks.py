"""The steward's verdicts as checks of the raw assets: failed while a batch waits rejected, with links to reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg

from contracts.batches import KINDS, Kind
from contracts.files import digest_of
from contracts.ledger import read_ledger
from orchestration.expectations.verdict import DATA_DOCS, VERDICT, read_verdict
from orchestration.resources import Workspace
from orchestration.stewardship import deliveries

REPORTS_SHOWN = 20
_STATE = "state"


def check_name(kind: Kind) -> str:
    """The name of the check on the batches of a kind."""
    return f"{kind}_verdicts"


def verdict_check(workspace: Workspace, kind: Kind, batches: Sequence[str]) -> dg.AssetCheckResult:
    """Passed when each of the accepted `batches` has a verdict in the ledger and no delivery waits rejected."""
    places = workspace.places
    ledger = {row.batch: row.verdict for row in read_ledger(places.data) if row.kind == kind}
    unknown = [batch for batch in batches if batch not in ledger]
    rejected = [batch for one, batch in deliveries(places) if one == kind and _is_rejected(places.report(kind, batch))]
    shown = list(dict.fromkeys([*rejected, *reversed(batches)]))[:REPORTS_SHOWN]
    verdicts = Counter(ledger[batch] for batch in batches if batch in ledger)
    found = {
        "rejected, waiting in incoming": ", ".join(rejected) or "none",
        "without a verdict": ", ".join(unknown) or "none",
        "verdicts": ", ".join(f"{verdict} {count:,}" for verdict, count in sorted(verdicts.items())) or "none",
    }
    return dg.AssetCheckResult(
        passed=not unknown and not rejected,
        asset_key=f"{kind}_batches",
        check_name=check_name(kind),
        severity=dg.AssetCheckSeverity.WARN,  # what is rejected became no data: nothing downstream is wrong
        metadata={
            **found,
            **{f"report on {batch}": _report(workspace, kind, batch) for batch in shown},
            _STATE: digest_of([found, shown])[:16],
        },
    )


def untold_checks(
    workspace: Workspace, instance: dg.DagsterInstance, batches: dict[Kind, list[str]]
) -> list[dg.AssetCheckEvaluation]:
    """The checks that say something else than `instance` was told last."""
    keys = {kind: dg.AssetCheckKey(dg.AssetKey(f"{kind}_batches"), check_name(kind)) for kind in KINDS}
    told = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys.values()))
    found = []
    for kind, key in keys.items():
        result = verdict_check(workspace, kind, batches[kind])
        latest = told[key].evaluation if key in told else None
        known = getattr(latest, "metadata", {}).get(_STATE)  # one that is planned has no metadata
        if known is None or known.value != result.metadata[_STATE].value:
            evaluation = dg.AssetCheckEvaluation(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
            )
            found.append(evaluation)
    return found


def _is_rejected(report: Path) -> bool:
    return (report / VERDICT).is_file() and not read_verdict(report).accepted


def _report(workspace: Workspace, kind: Kind, batch: str) -> dg.MetadataValue[Any]:
    """A link to the Data Docs of a batch, or where they would be.

    It leads to the steward's page, where there is one: browsers follow no link to a file from Dagster's.
    """
    folder = workspace.places.report(kind, batch)
    page = Path(DATA_DOCS, "index.html")
    if not (folder / page).is_file():
        return dg.MetadataValue.path(folder)
    if workspace.services.steward_url is None:
        return dg.MetadataValue.url((folder / page).as_uri())
    return dg.MetadataValue.url(f"{workspace.services.steward_url}/batches/{kind}/{quote(batch)}/report/{page}")
