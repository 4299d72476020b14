"""Whether people search with photos like those that the models learnt from and were measured on.

What the service logged of a period is compared with *held-out* photos: validation and test photos of the look set,
which come from where the training photos do, but were not learnt by heart, so that an ordinary new photo is like them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.query_log import LoggedQuery, decode_vector, read_queries
from contracts.registry import SERVING_MODEL, Release
from orchestration.embedding import photo_features
from orchestration.progress import Reporter
from orchestration.resources import Workspace
from orchestration.training_sets import resolve_looks
from orchestration.workspace_tables import read_looks
from serving.inference import PackageSession
from training.sets import LookPhoto

PERIOD_DAYS = 7
DAY_S = 86_400
FEWEST = 20
"""Queries, or photos, below which nothing is compared: the tests would say nothing."""

MOST = 400
"""Queries with a vector, and photos, that are compared: it takes their square of cosines, and some seconds."""

_FAR = 0.05
_RESAMPLES = 499

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """One figure of the queries (N,) and of the held-out photos (M,), and how likely it is that they differ by chance.

    `p` is that of a two-sample test: below 0.01, say, the queries are others.
    """

    queries: Values
    photos: Values
    p: float


@dataclass(frozen=True)
class Drift:
    """What a period's queries were like.

    `searches` were logged from `since_s` to `until_s` (Unix time), `release` serves now; only its own are compared.
    `best` is the cosine of the closest article, of searches without a filter. `near` is the cosine of the held-out
    photo that is most alike, where vectors are logged; its `p` is that of the vectors' energy distance, and `far` the
    share of queries that are less alike than all but 5 % of the photos are among themselves. `categories` maps a
    category to its share of the articles found for queries and for photos.
    """

    since_s: float
    until_s: float
    searches: int
    release: str = ""
    without_person: float | None = None
    best: Compared | None = None
    near: Compared | None = None
    far: float | None = None
    categories: dict[str, tuple[float, float]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """The figures as plain values, those that there are."""
        found: dict[str, Any] = {"searches": self.searches, "release": self.release}
        if self.without_person is not None:
            found["share without a person"] = round(self.without_person, 4)
        for name, compared in (("closest article", self.best), ("most alike photo", self.near)):
            if compared is not None:
                found[f"{name}, queries"] = round(float(np.median(compared.queries)), 4)
                found[f"{name}, photos"] = round(float(np.median(compared.photos)), 4)
                found[f"{name}, p"] = round(compared.p, 4)
        if self.far is not None:
            found["share far from every photo"] = round(self.far, 4)
        return found


def measure_drift(workspace: Workspace, until_s: float, days: int, report: Reporter) -> Drift:
    """Compare the queries of the `days` before `until_s` with held-out photos, through the release that serves.

    Without queries, a release or held-out photos it says just what there is. Nothing is trained or indexed; vectors of
    photos are kept from the evaluation. Raises ThreadlineError when the release cannot be opened.
    """
    since_s = until_s - days * DAY_S
    queries = list(read_queries(workspace.home.queries, since_s, until_s))
    release = workspace.registry.champion()
    if not queries or release is None:
        return Drift(since_s, until_s, len(queries))
    mine = [query for query in queries if query.release == release.version]
    counted = Drift(since_s, until_s, len(queries), release.version, _without_person(mine))
    photos = _held_out(workspace)
    if min(len(mine), len(photos)) < FEWEST:
        return counted
    vectors = _photo_vectors(workspace, release, photos, report)
    return replace(counted, **_answers(workspace, release, mine, vectors), **_alike(mine, vectors))


def energy_test(one: Vectors, other: Vectors) -> float:
    """The p-value of the hypothesis that the rows of `one` (N, D) and `other` (M, D) are drawn alike.

    By permutation of the energy distance (Székely and Rizzo, "Testing for equal distributions in high dimension",
    2004).
    """
    from scipy.spatial.distance import cdist
    from scipy.stats import permutation_test

    rows = np.concatenate([one, other])
    distance = cdist(rows, rows)

    def energy(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
        apart = [distance[np.ix_(*pair)].mean() for pair in ((first, second), (first, first), (second, second))]
        return float(2 * apart[0] - apart[1] - apart[2])

    samples = (np.arange(len(one)), np.arange(len(one), len(rows)))
    found = permutation_test(
        samples, energy, n_resamples=_RESAMPLES, alternative="greater", rng=np.random.default_rng(0)
    )
    return float(found.pvalue)


def distinct(photos: Sequence[LookPhoto]) -> list[LookPhoto]:
    """At most `MOST` of `photos` of which no two show the same article: photos of one outfit are no two draws."""
    seen: set[str] = set()
    chosen: list[LookPhoto] = []
    for photo in random.Random(0).sample(photos, len(photos)):
        if len(chosen) < MOST and seen.isdisjoint(photo.articles):
            seen.update(photo.articles)
            chosen.append(photo)
    return chosen


def _without_person(queries: Sequence[LoggedQuery]) -> float | None:
    segmented = [query.person_found for query in queries if query.person_found is not None]
    return 1 - sum(segmented) / len(segmented) if segmented else None


def _held_out(workspace: Workspace) -> list[LookPhoto]:
    """No two show the same article; none before there is a look set."""
    if not workspace.home.derived("look_set").exists():
        return []
    looks = resolve_looks(read_looks(workspace, "look_set"), workspace.data, workspace.home.root)
    return distinct([photo for photo in looks.photos if photo.split in ("val", "test")])


def _photo_vectors(workspace: Workspace, release: Release, photos: Sequence[LookPhoto], report: Reporter) -> Vectors:
    packages = workspace.home.package(release.digest).parent
    session = PackageSession(workspace.registry.fetch(SERVING_MODEL, release.version, packages))
    store = photo_features(session, workspace.home, {photo.sha256: photo.image for photo in photos}, report)
    return store.get([photo.sha256 for photo in photos])


def _answers(workspace: Workspace, release: Release, queries: Sequence[LoggedQuery], photos: Vectors) -> dict[str, Any]:
    """`best` and `categories`: what the release finds for the queries, and for the photos."""
    from scipy.stats import ks_2samp

    plain = [query for query in queries if query.route == "search" and not query.filters and query.scores]
    if len(plain) < FEWEST:
        return {}
    collection = workspace.index.open(release.collection)
    try:
        found = collection.search(photos, int(np.median([query.k for query in plain])))
    finally:
        collection.close()
    asked = np.array([query.scores[-1] for query in plain])
    known = np.array([hits[0].score for hits in found if hits])
    of_queries, of_photos = Counter[str](), Counter(str(hit.payload.get("category")) for hits in found for hit in hits)
    for query in plain:
        of_queries.update(query.categories)
    return {
        "best": Compared(asked, known, float(ks_2samp(asked, known).pvalue)),
        "categories": _shares(of_queries, of_photos),
    }


def _shares(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Each category's share of `one` and of `other`, the largest first."""
    totals = max(1, sum(one.values())), max(1, sum(other.values()))
    shares = {name: (one.get(name, 0) / totals[0], other.get(name, 0) / totals[1]) for name in {*one, *other}}
    return dict(sorted(shares.items(), key=lambda each: (-max(each[1]), each[0])))


def _alike(queries: Sequence[LoggedQuery], photos: Vectors) -> dict[str, Any]:
    """`near` and `far`, from the vectors that were logged; a photo that was searched with twice counts once."""
    logged = sorted({query.vector for query in queries if query.vector is not None})
    if len(logged) < FEWEST:
        return {}
    asked = np.stack([decode_vector(one) for one in random.Random(0).sample(logged, min(MOST, len(logged)))])
    among = photos @ photos.T
    np.fill_diagonal(among, -1.0)  # a photo is not alike itself
    near_photos = among.max(axis=1).astype(np.float64)
    near_queries = (asked @ photos.T).max(axis=1).astype(np.float64)
    far = float(np.mean(near_queries < np.quantile(near_photos, _FAR)))
    return {"near": Compared(near_queries, near_photos, energy_test(asked, photos)), "far": far}
