"""The steward's verdicts as checks of the raw assets: failed while a batch waits rejected, with links to reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from contracts.batches import KINDS, Kind
from contracts.files import digest_of
from contracts.ledger import read_ledger
from orchestration.expectations.verdict import VERDICT, read_verdict
from orchestration.places import Places
from orchestration.stewardship import deliveries

REPORTS_SHOWN = 20
_STATE = "state"


def check_name(kind: Kind) -> str:
    """The name of the check on the batches of a kind."""
    return f"{kind}_verdicts"


def verdict_check(places: Places, kind: Kind, batches: Sequence[str]) -> dg.AssetCheckResult:
    """Passed when each of the accepted `batches` has a verdict in the ledger and no delivery waits rejected."""
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
            **{f"report on {batch}": _report(places.report(kind, batch)) for batch in shown},
            _STATE: digest_of([found, shown])[:16],
        },
    )


def untold_checks(
    places: Places, instance: dg.DagsterInstance, batches: dict[Kind, list[str]]
) -> list[dg.AssetCheckEvaluation]:
    """The checks that say something else than `instance` was told last."""
    keys = {kind: dg.AssetCheckKey(dg.AssetKey(f"{kind}_batches"), check_name(kind)) for kind in KINDS}
    told = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys.values()))
    found = []
    for kind, key in keys.items():
        result = verdict_check(places, kind, batches[kind])
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


def _report(folder: Path) -> dg.MetadataValue[Any]:
    """A link to the Data Docs of a batch, or where they would be."""
    pages = sorted(folder.rglob("index.html"))
    return dg.MetadataValue.url(pages[0].as_uri()) if pages else dg.MetadataValue.path(folder)
