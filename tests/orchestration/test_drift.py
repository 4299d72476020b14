"""What people search for, beside held-out photos: what is told, what is not compared, and when it is looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from contracts.files import sha256_of_file, write_text
from contracts.images import Picture
from contracts.index import Hit
from contracts.query_log import LoggedQuery, append_query, encode_vector, read_queries, score_quantiles
from contracts.registry import Release
from orchestration.cli.main import app
from orchestration.configuration import TEMPLATE
from orchestration.drift import DAY_S, Drift, distinct, energy_test, measure_drift
from orchestration.execution import materialize
from orchestration.instance import open_instance
from orchestration.resources import Workspace
from orchestration.rows import write_rows
from orchestration.silence import silent
from serving.inference import PackageSession
from tests.serving.fixtures import empty_registry
from tests.serving.shop import Shop
from training.sets import ArticleImages, LookPhoto, LookSet

__all__ = ["empty_registry"]

HELD_OUT, ASKED = 40, 40
DRIFT = dg.AssetKey("query_drift")
NOW_S = 1_790_000_000.0


def dressed(picture: Picture) -> Picture:
    """A street photo of somebody in it."""
    canvas = np.full((160, 120, 3), 255, dtype=np.uint8)
    canvas[40:120, 20:100] = picture
    return canvas


def strange() -> list[Picture]:
    """Photos taken in the dark."""
    return [np.full((160, 120, 3), number, dtype=np.uint8) for number in range(ASKED)]


class Log:
    """A shop with a release and held-out photos, and searches in its log."""

    def __init__(self, root: Path, registry: Path) -> None:
        self.shop = Shop(root, registry, count=HELD_OUT + ASKED)
        self.package = self.shop.package(1)
        self.release: Release = self.shop.release(self.package)
        (root / ".threadline").symlink_to(self.shop.settings.home)
        write_text(root / "threadline.toml", TEMPLATE.format(preset="demo"))
        self.workspace = Workspace(root)
        self._session = PackageSession(self.package, threads=1)
        self._collection = self.workspace.index.open(self.release.collection)
        self._hold_out()

    def ordinary(self) -> list[Picture]:
        """Photos like the held-out ones, of other articles."""
        return [dressed(picture) for picture in list(self.shop.pictures.values())[HELD_OUT:]]

    def search(self, photos: Sequence[Picture], at_s: float, release: str = "", *, vectors: bool = True) -> None:
        """Log a search with each of them."""
        found = self._session.photo_vectors(photos)
        hits: list[list[Hit]] = self._collection.search(found, 5)
        for vector, own in zip(found, hits, strict=True):
            query = LoggedQuery(
                at_s=int(at_s),
                route="search",
                release=release or self.release.version,
                collection=self.release.collection,
                k=5,
                filters=[],
                took_ms={},
                person_found=True,
                person_share=0.3,
                categories={str(own[0].payload["category"]): 5},
                scores=score_quantiles([hit.score for hit in own]),
                vector=encode_vector(vector) if vectors else None,
            )
            append_query(self.workspace.home.queries, query)

    def measured(self) -> Drift:
        return measure_drift(self.workspace, NOW_S, 7, silent)

    def close(self) -> None:
        self._collection.close()

    def _hold_out(self) -> None:
        data = self.shop.settings.data
        (data / "street").mkdir()
        photos, articles = [], []
        for number, (key, picture) in enumerate(list(self.shop.pictures.items())[:HELD_OUT]):
            path = Path("street") / f"{key}.png"
            Image.fromarray(dressed(picture)).save(data / path)
            split = ("val", "test")[number % 2]
            photos.append(LookPhoto(key, "street", path, sha256_of_file(data / path), None, "", (key,), split))
            image = Path(f"catalogue/first/images/{key}.png")
            digest = sha256_of_file(data / image)
            articles.append(ArticleImages(key, (image,), (digest,), "dress", {}, split))
        looks = LookSet(tuple(photos), tuple(articles))
        write_rows(self.workspace.home.derived("look_set"), [looks], LookSet)


@pytest.fixture
def log(tmp_path: Path, empty_registry: Path) -> Log:
    return Log(tmp_path, empty_registry)


def test_ordinary_queries_are_like_the_held_out_photos(log: Log) -> None:
    log.search(log.ordinary(), NOW_S - DAY_S)
    found = log.measured()
    assert found.searches == ASKED and found.without_person == 0
    assert found.best is not None and found.best.p > 0.01
    assert found.near is not None and found.near.p > 0.01
    assert found.far is not None and found.far < 0.3
    assert sum(own for own, _ in found.categories.values()) == pytest.approx(1)
    assert sum(known for _, known in found.categories.values()) == pytest.approx(1)


def test_strange_queries_are_not(log: Log) -> None:
    log.search(strange(), NOW_S - DAY_S)
    found = log.measured()
    assert found.best is not None and found.best.p < 0.01
    assert found.near is not None and found.near.p < 0.01
    assert found.far is not None and found.far > 0.5


def test_without_vectors_the_scores_and_categories_are_compared(log: Log) -> None:
    log.search(log.ordinary(), NOW_S - DAY_S, vectors=False)
    found = log.measured()
    assert found.best is not None and found.categories
    assert found.near is None and found.far is None


def test_searches_of_another_time_or_release_are_not_compared(log: Log) -> None:
    log.search(strange(), NOW_S - 8 * DAY_S)
    log.search(strange(), NOW_S + 1)
    assert log.measured() == Drift(NOW_S - 7 * DAY_S, NOW_S, 0)
    log.search(log.ordinary(), NOW_S - DAY_S, release="another")
    found = log.measured()
    assert found.searches == ASKED
    assert found.best is None and found.near is None and not found.categories


def test_a_few_searches_are_counted_only(log: Log) -> None:
    log.search(strange()[:5], NOW_S - DAY_S)
    assert log.measured().figures() == {
        "searches": 5,
        "release": log.release.version,
        "share without a person": 0.0,
    }


def test_before_a_release_or_a_query_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert measure_drift(Workspace(tmp_path), NOW_S, 7, silent) == Drift(NOW_S - 7 * DAY_S, NOW_S, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_photo_that_was_searched_with_often_counts_once(log: Log) -> None:
    log.search(strange()[:1] * 30, NOW_S - DAY_S)
    assert log.measured().near is None


def test_the_asset_looks_at_days_that_are_over_and_once_at_each(log: Log) -> None:
    def ran() -> list[str]:
        done = materialize(log.workspace, assets={DRIFT})
        assert not done.failed, done.failed
        return [one.asset for one in done.ran]

    assert ran() == ["query_drift"], "it says that there was no search yet"
    log.search(strange(), time.time())
    assert ran() == [], "today is not over"
    log.search(strange(), time.time() - DAY_S)
    assert ran() == ["query_drift"]
    with open_instance(log.workspace.home) as instance:
        event = instance.get_latest_materialization_event(DRIFT)
    assert event is not None and event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["searches"].value == ASKED
    assert "data:image/jpeg;base64," in str(metadata["plot"].value)
    assert ran() == []
    assert len(list(read_queries(log.workspace.home.queries))) == 2 * ASKED


def test_the_command_tells_and_draws(log: Log, tmp_path: Path) -> None:
    arguments = ["drift", "--workspace", str(log.workspace.root)]
    assert "No search was logged" in CliRunner().invoke(app, arguments).stdout
    log.search(strange(), time.time() - 5)
    plot = tmp_path / "drift.png"
    ran = CliRunner().invoke(app, [*arguments, "--json", "--plot", str(plot)])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["searches"] == ASKED and found["share far from every photo"] > 0.5
    with Image.open(plot) as drawn:
        assert drawn.height > drawn.width > 500, "three panels, one below the other"


def test_the_energy_test_tells_two_distributions_apart_and_one_not() -> None:
    random = np.random.default_rng(0)
    one, same = random.normal(size=(2, 60, 8)).astype(np.float32)
    assert energy_test(one, same) > 0.05
    assert energy_test(one, same + np.float32(0.6)) < 0.01
    assert energy_test(one, 2 * same) < 0.01, "the same mean, and wider"


def test_no_two_held_out_photos_show_one_article() -> None:
    photos = [
        LookPhoto(str(number), "street", Path("x"), "", None, "", shown, "val")
        for number, shown in enumerate([("a",), ("a", "b"), ("b",), ("c",), ("c",)])
    ]
    shown = [key for photo in distinct(photos) for key in photo.articles]
    assert len(shown) == len(set(shown)) and {"a", "b", "c"} >= set(shown) and "c" in shown
