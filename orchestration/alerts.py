"""What people should be told of: failures that wait for a person, and articles that cannot be found in time."""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from dataclasses import dataclass, replace

import dagster as dg

from contracts.logs import without_secrets
from orchestration.expectations.verdict import read_verdict
from orchestration.freshness import Lineage
from orchestration.incoming import unjudged
from orchestration.instance import forget_tick_logs
from orchestration.resources import Workspace
from orchestration.runs import failed_attempts
from orchestration.stewardship import deliveries

_RELEASE = dg.AssetKey("release")
_TIMEOUT_S = 10.0

log = logging.getLogger("threadline.alerts")


@dataclass(frozen=True)
class Alert:
    """Something a person should know; `key` is the same as long as it is the same matter."""

    key: str
    text: str


def present_alerts(
    workspace: Workspace, instance: dg.DagsterInstance, graph: dg.AssetGraph, now_s: float
) -> list[Alert]:
    """What is wrong now, in words without secrets: they go to a chat, and to logs."""
    lineage = Lineage(instance, graph)
    found = [
        *_failures(workspace, instance, graph, lineage),
        *_lateness(workspace, instance, lineage, now_s),
        *_deliveries(workspace, now_s),
    ]
    return [replace(alert, text=without_secrets(alert.text)) for alert in found]


def tell(alert: Alert, webhook: str) -> None:
    """Log the alert, and post it to the webhook where there is one. Raises OSError when it cannot be posted."""
    log.warning(alert.text)
    if webhook:
        body = json.dumps({"text": f"Threadline: {alert.text}"}).encode()
        request = urllib.request.Request(webhook, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass


def _failures(
    workspace: Workspace, instance: dg.DagsterInstance, graph: dg.AssetGraph, lineage: Lineage
) -> list[Alert]:
    alerts = []
    for left in failed_attempts(workspace.home, instance, graph, lineage):
        if not left.cancelled:
            name = f"{left.asset} [{left.partition}]" if left.partition else left.asset
            final = left.count > workspace.configuration.retries.most
            end = "it waits for `threadline materialize --failed`" if final else "it is tried again"
            key = f"failed {name} {left.inputs} {'for good' if final else ''}"
            alerts.append(Alert(key, f"{name} failed: {left.reason}; {end}"))
    return alerts


def _lateness(workspace: Workspace, instance: dg.DagsterInstance, lineage: Lineage, now_s: float) -> list[Alert]:
    """The catalogue batches that came too late for the index that was released last, and have waited for too long."""
    if lineage.settled(_RELEASE) and not lineage.stale(_RELEASE):
        return []
    batches = dg.AssetKey("catalogue_batches")
    newer = dg.AssetRecordsFilter(asset_key=batches, after_timestamp=_released_from_s(instance))
    waiting = instance.fetch_materializations(newer, limit=1000).records
    limit_s = workspace.configuration.alerts.index_late_minutes * 60
    long = {one.partition_key for one in waiting if now_s - one.timestamp > limit_s}
    late = sorted(str(batch) for batch in long.intersection(lineage.partitions(batches)))
    if not late:
        return []
    text = f"the articles of {', '.join(late)} cannot be found yet, after more than {limit_s / 60:.0f} minutes"
    return [Alert(f"late {late}", text)]


def _released_from_s(instance: dg.DagsterInstance) -> float | None:
    """When the making of the index that was released last began: what came since is not in it. None without one."""
    release = instance.get_latest_materialization_event(_RELEASE)
    if release is None:
        return None
    made = dg.AssetRecordsFilter(asset_key=dg.AssetKey("article_index"), before_timestamp=release.timestamp)
    for index in instance.fetch_materializations(made, limit=1).records:
        event = index.asset_materialization
        took = event.metadata.get("seconds") if event is not None else None
        return index.timestamp - (float(took.value or 0.0) if isinstance(took, dg.FloatMetadataValue) else 0.0)
    return None


def _deliveries(workspace: Workspace, now_s: float) -> list[Alert]:
    """What lies in `incoming/` for the steward: rejected, or neither rejected nor in the data for too long."""
    places, waiting = workspace.places, {(one.kind, one.batch): one for one in unjudged(workspace.places)}
    limit_s = workspace.configuration.alerts.index_late_minutes * 60
    alerts = []
    for kind, batch in deliveries(places):
        name, one = f"{kind}/{batch}", waiting.get((kind, batch))
        if one is None:
            failing = len({row.row for row in read_verdict(places.report(kind, batch)).rows if not row.warning})
            text = f"{name} was rejected, {failing:,} rows fail: threadline batches show {name}"
            alerts.append(Alert(f"rejected {name} {failing}", text))
        elif now_s - one.changed_s > limit_s:
            minutes = f"{limit_s / 60:.0f} minutes"
            text = f"{name} is not accepted, nor rejected, after more than {minutes}: threadline batches accept {name}"
            alerts.append(Alert(f"no verdict {name}", text))
    return alerts


@dg.sensor(
    minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING, required_resource_keys={"workspace"}
)
def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Tells of each matter once: in the log, and at the webhook that `threadline.toml` names.

    It looks seldom enough to be the one that also deletes the sensors' old logs.
    """
    repository = context.repository_def
    assert repository is not None
    forget_tick_logs(context.instance, repository.name, time.time())
    workspace: Workspace = context.resources.workspace
    known = set(json.loads(context.cursor or "[]"))
    told = []
    for alert in present_alerts(workspace, context.instance, repository.asset_graph, time.time()):
        if alert.key not in known:
            context.log.warning(alert.text)
            try:
                tell(alert, workspace.configuration.alerts.webhook)
            except OSError as error:
                context.log.error(f"the webhook does not answer, and is tried again in a minute: {error}")
                continue
        told.append(alert.key)
    return dg.SensorResult(cursor=json.dumps(sorted(told)))
