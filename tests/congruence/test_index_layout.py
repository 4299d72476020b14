"""A server is asked for collections of the layout that the operator chose; the rest is left to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from contracts.errors import ThreadlineError
from contracts.index import Points
from serving.index import open_index
from serving.index.layout import Layout
from serving.index.server import ServerIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

POINTS = Points(("a",), np.ones((1, 4), np.float32) / 2, ("1",), ({"article_id": "a", "category": "dress"},))


def asked_for(layout: Layout | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The body of the request that makes a collection."""
    client, asked = QdrantClient(":memory:"), {}
    create = client.create_collection

    def recorded(name: str, **given: Any) -> bool:
        asked.update(given)
        return create(name, **given)

    monkeypatch.setattr(client, "create_collection", recorded)
    index = ServerIndex(client, layout)
    index.reconcile("shop", POINTS)
    (hits,) = index.open("shop").search(POINTS.vectors, 1)
    assert [hit.article_id for hit in hits] == ["a"]
    return asked


def test_by_default_the_server_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_for(None, monkeypatch)
    vectors = asked.pop("vectors_config")
    assert (vectors.size, vectors.on_disk) == (4, None)
    assert set(asked.values()) == {None}


@pytest.mark.parametrize(("how", "kind"), [("int8", "scalar"), ("binary", "binary")])
def test_a_cluster_gets_its_layout(how: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(shards=6, replicas=3, write_consistency=2, on_disk=True, quantisation=how)
    asked = asked_for(layout, monkeypatch)
    assert (asked["shard_number"], asked["replication_factor"], asked["write_consistency_factor"]) == (6, 3, 2)
    assert asked["vectors_config"].on_disk is True
    assert getattr(asked["quantization_config"], kind).always_ram is True


def test_authorities_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(ThreadlineError, match=name):
            open_index(tmp_path, "https://qdrant.example:6333", ca=tmp_path / name)
