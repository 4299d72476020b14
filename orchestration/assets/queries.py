"""What people search for, looked at once a day. Nothing is made from it: no model learns from a query."""

from __future__ import annotations

import dagster as dg

from contracts.files import digest_of
from contracts.query_log import end_of_day
from orchestration.asset import Made, Step, asset
from orchestration.drift import PERIOD_DAYS, measure_drift
from orchestration.drift_plot import plot_drift
from orchestration.shown import pictures

query_log = dg.AssetSpec(
    "query_log",
    group_name="queries",
    kinds={"parquet"},
    owners=["team:mlops"],
    description="What was asked of the service; the data version is the last day (UTC) with a search that is over.",
)


@asset(
    deps=["query_log"],
    group="queries",
    code=("orchestration.drift", "orchestration.drift_plot"),
    kinds=frozenset({"parquet"}),
)
def query_drift(step: Step) -> Made:
    """The queries of the last seven days beside held-out photos: closest articles, categories, and logged vectors."""
    day = step.version("query_log")
    if day == "none":
        return Made("none", {"searches": 0})
    drift = measure_drift(step.workspace, end_of_day(day), PERIOD_DAYS, step.report)
    path = step.workspace.home.plots("query_drift") / "drift.png"
    shown = {"plot": pictures([path])} if plot_drift(path, drift) else {}
    return Made(digest_of([day, drift.release, drift.searches]), {"until": day, **drift.figures(), **shown})
