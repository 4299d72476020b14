from __future__ import annotations

import uuid

import numpy as np

from contracts.index import Points, point_id


def test_a_point_id_depends_on_the_article_alone_and_never_changes() -> None:
    assert point_id("a1") == "c5eb283a-d7a5-57bc-aea1-0bd887b0f510"
    assert point_id("a1") != point_id("a2")
    assert str(uuid.UUID(point_id("ü/7"))) == point_id("ü/7")


def test_a_payload_digest_does_not_depend_on_the_order_of_its_keys() -> None:
    vectors = np.eye(3, dtype=np.float32)
    payloads = ({"article_id": "a", "price": 1.0}, {"price": 1.0, "article_id": "a"}, {"article_id": "a", "price": 2.0})
    one, same, other = Points(("a", "b", "c"), vectors, ("", "", ""), payloads).payload_digests()
    assert one == same != other
