"""What is ranked again, and the features that the reranker sees of an article."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.images import Picture, decode, read
from contracts.index import Hit
from serving.index import open_index
from serving.inference import BATCH, PackageSession, pool
from serving.ordering import Reranking
from serving.rerank import DEPTH, ArticleFeatures, Reranker
from serving.stages import DeadlinePassed, Stages
from tests.serving.shop import Shop


@pytest.fixture(scope="module")
def session(open_shop: Shop) -> PackageSession:
    return PackageSession(open_shop.package(1, reranks=True), threads=1)


def hit(article_id: str, **payload: object) -> Hit:
    return Hit(article_id, 0.5, payload)


def test_all_images_are_pooled_as_at_training(open_shop: Shop, session: PackageSession) -> None:
    images = [f"catalogue/first/images/a{number}.png" for number in (1, 2, 3)]
    single = session.article_features([read(open_shop.settings.data / image) for image in images])
    features = ArticleFeatures(session, open_shop.settings.data)
    found = features.of([hit("x", image=images[0], images=images), hit("y", image=images[1])], Stages())
    np.testing.assert_allclose(found["x"], pool(single, session.package.pooling), rtol=1e-5)
    np.testing.assert_allclose(found["y"], single[1], rtol=1e-5)


@pytest.mark.parametrize("way", ["neural", "k-reciprocal"])
def test_only_so_many_are_ranked_again_and_the_others_follow_as_they_came(
    open_shop: Shop, session: PackageSession, monkeypatch: pytest.MonkeyPatch, way: Reranking
) -> None:
    release = open_shop.registry.champion()
    assert release is not None
    monkeypatch.setitem(DEPTH, way, 4)
    collection = open_index(open_shop.settings.home, None).open(release.collection)
    features = ArticleFeatures(session, open_shop.settings.data)
    reranker = Reranker(release, session, collection, features)
    photo = session.photo_vectors([decode(open_shop.photo("a4"))])[0]
    hits = collection.search(photo[None], 12)[0][::-1]  # the closest last: any ranking again would move it
    found = reranker.rank(photo, hits, way, Stages())
    alone = reranker.rank(photo, hits[:4], way, Stages())
    collection.close()
    assert found.hits[:4] == alone.hits and found.hits[:4] != hits[:4]
    assert found.hits[4:] == hits[4:]
    assert found.logits == alone.logits


def test_missing_images_are_left_out(open_shop: Shop, session: PackageSession) -> None:
    there = "catalogue/first/images/a1.png"
    features = ArticleFeatures(session, open_shop.settings.data)
    found = features.of([hit("x", images=["gone.png", there]), hit("y", images=["gone.png"]), hit("z")], Stages())
    assert set(found) == {"x"}


def test_what_was_computed_is_kept_up_to_a_limit(
    open_shop: Shop, session: PackageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    compute = session.article_features

    def counting(pictures: Sequence[Picture]) -> NDArray[np.float32]:
        computed.append(len(pictures))
        return compute(pictures)

    monkeypatch.setattr(session, "article_features", counting)
    features = ArticleFeatures(session, open_shop.settings.data, capacity=2)
    hits = [hit(f"a{number}", image=f"catalogue/first/images/a{number}.png") for number in range(3)]
    features.of(hits[:2], Stages())
    features.of(hits[:2], Stages())
    assert computed == [2]
    features.of(hits[2:], Stages())
    features.of(hits[1:], Stages())
    assert computed == [2, 1]
    features.of(hits[:1], Stages())
    assert computed == [2, 1, 1]


def test_an_image_is_one_whatever_it_is_called(open_shop: Shop, session: PackageSession, tmp_path: Path) -> None:
    named = ["a1", "a1.jfif", "a1.tiff", "a1.of-the-camera"]
    for name in named:
        shutil.copy(open_shop.settings.data / "catalogue/first/images/a1.png", tmp_path / name)
    (tmp_path / "text.png").write_text("text")
    hits = [hit(name, image=name) for name in (*named, "text.png", "../a1")]
    assert set(ArticleFeatures(session, tmp_path).of(hits, Stages())) == set(named)


def test_what_takes_too_long_ends_between_two_batches_and_is_kept(
    open_shop: Shop, session: PackageSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    compute = session.article_features

    def slow(pictures: Sequence[Picture]) -> NDArray[np.float32]:
        computed.append(len(pictures))
        time.sleep(0.6)
        return compute(pictures)

    monkeypatch.setattr(session, "article_features", slow)
    hits = [hit(f"a{number:02}", image=f"a{number:02}.png") for number in range(BATCH + 1)]
    for one in hits:
        shutil.copy(open_shop.settings.data / "catalogue/first/images/a1.png", tmp_path / str(one.payload["image"]))
    features = ArticleFeatures(session, tmp_path)
    with pytest.raises(DeadlinePassed):
        features.of(hits, Stages(time.monotonic() + 0.5))
    assert computed == [BATCH]
    assert len(features.of(hits, Stages())) == BATCH + 1
    assert computed == [BATCH, 1]
