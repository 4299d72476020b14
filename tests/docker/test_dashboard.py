"""The dashboard shows what the service and the graph tell: every metric, label and stage that it names is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from contracts.files import write_text
from contracts.registry import Release
from orchestration.definitions import build_definitions
from orchestration.graph_metrics import read_figures
from orchestration.instance import open_instance
from orchestration.resources import Workspace
from serving.metrics import Metrics

DASHBOARD = Path("docker/grafana/threadline-service.json")


@pytest.fixture
def scraped(tmp_path: Path) -> list[Metric]:
    """What a service that has done everything once tells, and a graph in which nothing has happened."""
    write_text(tmp_path / "threadline.toml", "")
    workspace = Workspace(tmp_path)
    graph = build_definitions(workspace).resolve_asset_graph()
    with open_instance(workspace.home) as instance:
        return [*_of_service(), *read_figures(workspace, instance, graph)]


def _of_service() -> list[Metric]:
    metrics = Metrics()
    metrics.watch(lambda: 0, lambda: True)
    metrics.requests.labels("POST", "/v1/search", "200").inc()
    metrics.seconds.labels("/v1/search").observe(0.1)
    metrics.searched({"segment": 1.0}, person_found=False)
    metrics.loaded(Release("1", "0f" * 32, "reid_baseline", "articles", "run", "data", "code"), serves=True)
    return list(text_string_to_metric_families(metrics.text().decode()))


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    """Every query of the dashboard."""
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query")


def test_every_metric_and_label_of_the_dashboard_exists(checkout: Path, scraped: list[Metric]) -> None:
    there = {sample.name: set(sample.labels) for family in scraped for sample in family.samples}
    for family in scraped:
        there.setdefault(family.name, set(getattr(family, "_labelnames", ())))
    dashboard = json.loads((checkout / DASHBOARD).read_text(encoding="utf-8"))
    asked = list(expressions(dashboard))
    assert len(asked) > 8
    for expression in asked:
        named = re.findall(r"threadline_\w+", expression)
        assert named, expression
        labels = {label for name in named for label in there[name]}
        grouped = {word for group in re.findall(r"by \(([^)]*)\)", expression) for word in group.split(", ")}
        chosen = set(re.findall(r"(\w+)=~?\"", expression))
        assert grouped | chosen <= labels | {"instance"}, expression


def test_every_metric_is_shown(checkout: Path, scraped: list[Metric]) -> None:
    shown = (checkout / DASHBOARD).read_text(encoding="utf-8")
    names = [family.name for family in scraped if not family.name.endswith("_created")]
    assert [name for name in names if name not in shown] == []


def test_panels_do_not_overlap(checkout: Path) -> None:
    dashboard = json.loads((checkout / DASHBOARD).read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
