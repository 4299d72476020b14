"""How well a package finds the articles of photos: on the frozen queries and gallery of a look set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestration.embedding import article_features, article_vectors, photo_features
from orchestration.home import Home
from orchestration.intervals import Interval, bootstrap_intervals
from orchestration.progress import Reporter
from orchestration.ranking import Ranking, joined, rank
from orchestration.reranking import Gain, k_reciprocal_gain
from serving.inference import PackageSession
from training.metrics import RANKS
from training.sets import ArticleImages, LookPhoto, LookSet


@dataclass(frozen=True)
class Score:
    """The figures of one group of queries.

    `acc` maps k to the share of queries with a right article within the top k, and `mean_ap` is the mean average
    precision; higher is better. `rank_percentile` is the mean rank of the right articles as a share of the gallery;
    lower is better. All are over `queries`, those with a right article in the gallery; `skipped` counts the others.
    `gallery` is the number of items searched, on average where queries have galleries of their own. `intervals` are
    95 % bootstrap intervals by figure: "acc_1", …, "map", "rank_percentile".
    """

    queries: int
    skipped: int
    gallery: int
    acc: dict[int, float]
    mean_ap: float
    rank_percentile: float = 0.0
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """A package's scores.

    `scores` has "val", "test", and "test, <domain>" where there are two domains; there the gallery is all articles,
    one vector each. The rest is of the test split. `single_images` searches single images instead of articles, and is
    there when an article has several. In `by_category` and `within_category` a photo is a query for each category of
    its articles, of which only those of the category are right; the first searches the whole gallery, the second the
    category's articles only. Their entry "all" joins the queries of every category; both need two categories.
    `batches` has an entry for each batch of photos, when there are two. `k_reciprocal` is what re-ranking adds on the
    validation split, whose figures decide; None without validation queries.
    """

    digest: str
    method: str
    precision: str
    scores: dict[str, Score]
    single_images: Score | None = None
    by_category: dict[str, Score] = field(default_factory=dict)
    within_category: dict[str, Score] = field(default_factory=dict)
    batches: dict[str, Score] = field(default_factory=dict)
    k_reciprocal: Gain | None = None


@dataclass(frozen=True)
class Embedded:
    """The vectors of a look set through one package.

    `queries` (Q, D) belong to `photos`, `gallery` (G, D) to `articles`. `images` (I, D) are the vectors of single
    images, each taken for an article by itself, and `owners` (I,) int64 the rows of `articles` they belong to.
    """

    photos: tuple[LookPhoto, ...]
    queries: NDArray[np.float32]
    articles: tuple[ArticleImages, ...]
    gallery: NDArray[np.float32]
    images: NDArray[np.float32]
    owners: NDArray[np.int64]

    def relevant(self, rows: Sequence[int]) -> list[set[int]]:
        """For each of those photos the rows of the gallery that it shows; articles outside the gallery are passed."""
        place = {article.article_id: row for row, article in enumerate(self.articles)}
        return [{place[key] for key in self.photos[row].articles if key in place} for row in rows]

    def test_rows(self) -> list[int]:
        """The places of the test photos."""
        return [row for row, photo in enumerate(self.photos) if photo.split == "test"]


def embed_looks(session: PackageSession, looks: LookSet, home: Home, report: Reporter) -> Embedded:
    """Embed the validation and test photos, and every article, of `looks` (absolute paths)."""
    photos = tuple(photo for photo in looks.photos if photo.split in ("val", "test"))
    if not photos or not looks.articles:
        return nothing(session)
    queries = photo_features(session, home, {photo.sha256: photo.image for photo in photos}, report)
    images = {s: p for article in looks.articles for s, p in zip(article.sha256, article.images, strict=True)}
    features, _ = article_features(session, home, images, report)
    gallery, _ = article_vectors(session, features, [article.sha256 for article in looks.articles])
    owners = np.repeat(np.arange(len(looks.articles)), [len(article.sha256) for article in looks.articles])
    single = gallery
    if len(owners) > len(gallery):
        digests = [digest for article in looks.articles for digest in article.sha256]
        single, _ = article_vectors(session, features, [[digest] for digest in digests])
    vectors = queries.get([photo.sha256 for photo in photos])
    return Embedded(photos, vectors, looks.articles, gallery, single, owners)


def nothing(session: PackageSession) -> Embedded:
    """What there is to evaluate without a single pair."""
    none = np.zeros((0, session.package.dimension), np.float32)
    return Embedded((), none, (), none, none, np.zeros(0, np.int64))


def evaluate(session: PackageSession, embedded: Embedded, batch_of_photo: Mapping[str, str]) -> Evaluation:
    """Score a package by splits and domains, and on the test split by images, categories and batches.

    `batch_of_photo` names the batch that each photo (by id) came in; empty leaves that table out.
    """
    package, photos, test = session.package, embedded.photos, embedded.test_rows()
    splits = _grouped(range(len(photos)), lambda row: photos[row].split)
    domains = _grouped(test, lambda row: f"test, {photos[row].domain}")
    batches = _grouped(test, lambda row: batch_of_photo.get(photos[row].photo_id, ""))
    groups = {split: splits[split] for split in ("val", "test") if split in splits} | _if_several(domains)
    by_category, within_category = _categories(embedded, test)
    return Evaluation(
        package.digest,
        package.method,
        session.precision,
        scores={name: _score_rows(embedded, rows) for name, rows in groups.items()},
        single_images=_single_images(embedded, test),
        by_category=by_category,
        within_category=within_category,
        batches={name: _score_rows(embedded, rows) for name, rows in sorted(_if_several(batches).items())},
        k_reciprocal=_k_reciprocal(embedded, splits.get("val", [])),
    )


def summarise(ranking: Ranking) -> Score:
    """The figures of a ranking with their intervals, over the queries that have a match."""
    matched = ranking.matched
    queries, skipped = int(matched.sum()), int((~matched).sum())
    names = [*(f"acc_{k}" for k in RANKS), "map", "rank_percentile"]
    if not queries:
        largest = int(ranking.gallery.max(initial=0))
        return Score(0, skipped, largest, dict.fromkeys(RANKS, 0.0), 0.0)
    found = [ranking.first[matched] <= k for k in RANKS]
    values = np.stack([*found, ranking.precision[matched], ranking.percentile[matched]], axis=1, dtype=np.float64)
    means = values.mean(axis=0)
    return Score(
        queries=queries,
        skipped=skipped,
        gallery=round(float(ranking.gallery[matched].mean())),
        acc={k: float(mean) for k, mean in zip(RANKS, means, strict=False)},
        mean_ap=float(means[-2]),
        rank_percentile=float(means[-1]),
        intervals=dict(zip(names, bootstrap_intervals(values), strict=True)),
    )


def _score_rows(embedded: Embedded, rows: list[int]) -> Score:
    return summarise(rank(embedded.queries[rows], embedded.gallery, embedded.relevant(rows)))


def _k_reciprocal(embedded: Embedded, rows: list[int]) -> Gain | None:
    return k_reciprocal_gain(embedded.queries[rows], embedded.gallery, embedded.relevant(rows))


def _single_images(embedded: Embedded, rows: list[int]) -> Score | None:
    """Every image of an article shown counts as right; None where articles have one image each."""
    if not rows or len(embedded.owners) == len(embedded.articles):
        return None
    images_of: dict[int, list[int]] = {}
    for image, owner in enumerate(embedded.owners.tolist()):
        images_of.setdefault(owner, []).append(image)
    relevant = [[image for owner in shown for image in images_of[owner]] for shown in embedded.relevant(rows)]
    return summarise(rank(embedded.queries[rows], embedded.images, relevant))


def _categories(embedded: Embedded, rows: list[int]) -> tuple[dict[str, Score], dict[str, Score]]:
    """The scores by category in the whole gallery, and within the category's own."""
    articles = embedded.articles
    members = _grouped(range(len(articles)), lambda row: articles[row].category)
    members.pop("", None)
    relevant = embedded.relevant(rows)
    merged, within = dict[str, Ranking](), dict[str, Ranking]()
    for category, own in sorted(members.items()):
        place = {row: position for position, row in enumerate(own)}
        asked = [(row, shown & place.keys()) for row, shown in zip(rows, relevant, strict=True) if shown & place.keys()]
        if asked:
            queries = embedded.queries[[row for row, _ in asked]]
            merged[category] = rank(queries, embedded.gallery, [shown for _, shown in asked])
            within[category] = rank(queries, embedded.gallery[own], [{place[r] for r in shown} for _, shown in asked])
    if len(members) < 2 or not merged:
        return {}, {}
    return _with_all(merged), _with_all(within)


def _with_all(rankings: Mapping[str, Ranking]) -> dict[str, Score]:
    together = {"all": joined(list(rankings.values())), **rankings}
    return {name: summarise(ranking) for name, ranking in together.items()}


def _grouped(rows: Iterable[int], key: Callable[[int], str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _if_several(groups: dict[str, list[int]]) -> dict[str, list[int]]:
    """The groups, unless there is only one: it would repeat the whole."""
    return groups if len(groups) > 1 else {}
