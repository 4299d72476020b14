"""What an evaluation tells apart: splits, domains, single images, categories, batches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orchestration.evaluation import Embedded, Evaluation, evaluate
from training.sets import ArticleImages, LookPhoto

SESSION = SimpleNamespace(package=SimpleNamespace(digest="d", method="m"), precision="float32")


def article(key: str, category: str = "dress", images: int = 1) -> ArticleImages:
    return ArticleImages(key, (Path("x"),) * images, ("",) * images, category, {}, "test")


def photo(key: str, *articles: str, domain: str = "street", split: str = "test") -> LookPhoto:
    return LookPhoto(key, domain, Path("x"), "", None, "", articles, split)


def at(*degrees: float) -> np.ndarray:
    """Unit vectors (N, 2): the nearer two angles, the higher their dot product."""
    turned = np.deg2rad(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


def measured(
    photos: list[LookPhoto],
    queries: np.ndarray,
    articles: list[ArticleImages],
    gallery: np.ndarray,
    images: np.ndarray | None = None,
    batches: dict[str, str] | None = None,
) -> Evaluation:
    owners = np.repeat(np.arange(len(articles)), [len(one.images) for one in articles])
    single = gallery if images is None else images
    return evaluate(SESSION, Embedded(tuple(photos), queries, tuple(articles), gallery, single, owners), batches or {})


def test_validation_and_test_queries_are_scored_apart_and_the_test_ones_by_domain() -> None:
    found = measured(
        [photo("p", "a", split="val"), photo("q", "a"), photo("r", "b", domain="studio")],
        at(0, 0, 0),
        [article("a"), article("b")],
        at(0, 90),
    )
    assert {name: score.acc[1] for name, score in found.scores.items()} == {
        "val": 1.0,
        "test": 0.5,
        "test, street": 1.0,
        "test, studio": 0.0,
    }


def test_one_domain_is_not_repeated() -> None:
    found = measured([photo("p", "a"), photo("q", "a")], at(0, 0), [article("a")], at(0))
    assert set(found.scores) == {"test"}


def test_a_query_whose_articles_are_not_in_the_gallery_is_left_out_and_counted() -> None:
    found = measured([photo("p", "a"), photo("q", "gone")], at(0, 0), [article("a")], at(0))
    assert (found.scores["test"].queries, found.scores["test"].skipped) == (1, 1)
    assert found.scores["test"].acc[1] == 1.0


def test_single_images_are_searched_one_by_one_and_every_image_of_the_article_is_right() -> None:
    articles = [article("a", images=2), article("b")]
    # the centroid of a is nearest, but its two images come first and last
    found = measured([photo("p", "a")], at(0), articles, at(5, 20), images=at(1, 60, 20))
    assert found.single_images is not None
    assert (found.scores["test"].gallery, found.single_images.gallery) == (2, 3)
    assert found.scores["test"].mean_ap == 1.0
    assert found.single_images.acc[1] == 1.0
    assert found.single_images.mean_ap == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_with_one_image_an_article_the_single_images_would_say_nothing_new() -> None:
    assert measured([photo("p", "a")], at(0), [article("a")], at(0)).single_images is None


def test_a_category_s_own_gallery_holds_nothing_else() -> None:
    articles = [article("a", "dress"), article("b", "skirt"), article("c", "skirt")]
    found = measured([photo("p", "a", "c")], at(10), articles, at(90, 10, 30))
    assert {name: score.gallery for name, score in found.within_category.items()} == {"all": 2, "dress": 1, "skirt": 2}
    assert {name: score.acc[1] for name, score in found.within_category.items()} == {
        "all": 0.5,
        "dress": 1.0,
        "skirt": 0.0,
    }
    assert found.by_category["dress"].mean_ap == pytest.approx(1 / 3)
    assert found.by_category["skirt"].mean_ap == pytest.approx(1 / 2)
    assert found.by_category["all"].queries == 2


def test_one_category_or_none_known_gives_no_table_of_categories() -> None:
    for categories in (("dress", "dress"), ("", "dress"), ("", "")):
        articles = [article("a", categories[0]), article("b", categories[1])]
        found = measured([photo("p", "a")], at(0), articles, at(0, 90))
        assert found.by_category == found.within_category == {}


def test_batches_are_columns_when_there_are_two() -> None:
    photos, articles = [photo("p", "a"), photo("q", "b")], [article("a"), article("b")]
    found = measured(photos, at(0, 0), articles, at(0, 90), batches={"p": "viton", "q": "lookbook"})
    assert {name: (score.queries, score.acc[1]) for name, score in found.batches.items()} == {
        "lookbook": (1, 0.0),
        "viton": (1, 1.0),
    }
    assert measured(photos, at(0, 0), articles, at(0, 90), batches={"p": "viton", "q": "viton"}).batches == {}


def test_no_photo_is_no_error() -> None:
    found = measured([], np.zeros((0, 2), np.float32), [], np.zeros((0, 2), np.float32))
    assert found.scores == found.batches == found.within_category == {}
