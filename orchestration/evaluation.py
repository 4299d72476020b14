"""How well a package finds the articles of photos: on the frozen queries and gallery of a look set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.files import write_json
from orchestration.embedding import article_features, article_vectors, photo_features
from orchestration.home import Home
from orchestration.progress import Reporter
from serving.inference import PackageSession
from training.metrics import retrieval_metrics
from training.sets import LookPhoto, LookSet


@dataclass(frozen=True)
class Score:
    """The figures of one group of queries. Higher is better; `acc` maps k to the share found within the top k."""

    queries: int
    skipped: int
    gallery: int
    acc: dict[int, float]
    mean_ap: float


@dataclass(frozen=True)
class Evaluation:
    """A package's scores: `scores` has "val", "test", and for the test split one entry a domain and batch."""

    digest: str
    method: str
    precision: str
    scores: dict[str, Score]


@dataclass(frozen=True)
class Embedded:
    """The vectors of a look set through one package: (Q, D) queries, (G, D) gallery, and what is right."""

    photos: tuple[LookPhoto, ...]
    queries: NDArray[np.float32]
    gallery: NDArray[np.float32]
    article_ids: tuple[str, ...]

    def relevant(self, photos: Sequence[LookPhoto]) -> list[set[int]]:
        """For each photo the rows of the gallery that it shows."""
        row = {article_id: position for position, article_id in enumerate(self.article_ids)}
        return [{row[article_id] for article_id in photo.articles} for photo in photos]


def embed_looks(session: PackageSession, looks: LookSet, home: Home, report: Reporter) -> Embedded:
    """Embed the validation and test photos, and every article, of `looks` (absolute paths)."""
    photos = tuple(photo for photo in looks.photos if photo.split in ("val", "test"))
    queries = photo_features(session, home, {photo.sha256: photo.image for photo in photos}, report)
    images = {s: p for article in looks.articles for s, p in zip(article.sha256, article.images, strict=True)}
    features, _ = article_features(session, home, images, report)
    gallery, _ = article_vectors(session, features, [article.sha256 for article in looks.articles])
    ids = tuple(article.article_id for article in looks.articles)
    return Embedded(photos, queries.get([photo.sha256 for photo in photos]), gallery, ids)


def evaluate(session: PackageSession, embedded: Embedded) -> Evaluation:
    """Score a package by splits, domains and batches."""
    groups: dict[str, list[int]] = {"val": [], "test": []}
    for position, photo in enumerate(embedded.photos):
        groups[photo.split].append(position)
        if photo.split == "test":
            groups.setdefault(f"test, {photo.domain}", []).append(position)
    scores = {name: _score(embedded, rows) for name, rows in groups.items() if rows}
    return Evaluation(session.package.digest, session.package.method, session.precision, scores)


def _score(embedded: Embedded, rows: list[int]) -> Score:
    photos = [embedded.photos[row] for row in rows]
    found = retrieval_metrics(embedded.queries[rows], embedded.gallery, embedded.relevant(photos))
    return Score(found.queries, found.skipped, found.gallery, dict(found.acc), found.mean_ap)


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Keep an evaluation as JSON."""
    write_json(path, asdict(evaluation))


def read_evaluation(path: Path) -> Evaluation:
    """Read what `write_evaluation` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    scores = {
        name: Score(**{**score, "acc": {int(k): v for k, v in score["acc"].items()}})
        for name, score in value.pop("scores").items()
    }
    return Evaluation(**value, scores=scores)
