"""Searching in this process with the release that serves, for the command line and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import ThreadlineError
from contracts.images import Picture, read
from contracts.index import ArticleFilter, Hit
from contracts.masks import segmented
from contracts.registry import SERVING_MODEL, Release
from orchestration.contact_sheet import Found, SheetRow, write_sheet
from orchestration.resources import Workspace
from serving.inference import PackageSession
from serving.ordering import Reranking
from serving.rerank import DEPTH, ArticleFeatures, Reranker
from serving.stages import Stages


@dataclass(frozen=True)
class Answer:
    """What was found in a photo, best first; `person` is the segmented photo, if it was segmented.

    `logits` are the reranker's, by article, where it ran: higher is closer.
    """

    release: Release
    hits: list[Hit]
    person: Picture | None
    logits: dict[str, float] = field(default_factory=dict)


class Finder:
    """The serving package and its collection, opened. Close it after use."""

    def __init__(self, workspace: Workspace) -> None:
        """Raises ThreadlineError when nothing has been released yet."""
        release = workspace.registry.champion()
        if release is None:
            raise ThreadlineError("there is no release to search with", "run `threadline materialize`")
        self._data = workspace.data
        self.release = release
        root = workspace.registry.fetch(SERVING_MODEL, release.version, workspace.home.package("x").parent)
        self._session = PackageSession(root)
        self._collection = workspace.index.open(release.collection)
        features = ArticleFeatures(self._session, workspace.data)
        self._reranker = Reranker(release, self._session, self._collection, features)

    def read(self, path: Path) -> Picture:
        """The photo at `path`, at the scale the service decodes it. Raises UnreadableImage naming the path."""
        return read(path, fit_into=self._session.photo_size())

    def find(self, picture: Picture, k: int, category: str | None = None, rerank: Reranking = "none") -> Answer:
        """The `k` articles closest to what is worn in `picture`, as the service would answer.

        Raises ThreadlineError where the release does not `rerank` so.
        """
        ways = self._reranker.ways
        if rerank != "none" and rerank not in ways:
            remedy = f"choose {' or '.join(ways)}, or leave --rerank out" if ways else "leave --rerank out"
            raise ThreadlineError(f"release {self.release.version} does not rerank by '{rerank}'", remedy)
        person = None
        if self._session.package.segments:
            person = segmented(picture, self._session.segment([picture])[0])
        vectors = self._session.encode_photos([picture if person is None else person])
        hits = self._collection.search(vectors, max(k, DEPTH[rerank]), ArticleFilter(category=category))[0]
        found = self._reranker.rank(vectors[0], hits, rerank, Stages())
        return Answer(self.release, found.hits[:k], person, found.logits)

    def draw(self, path: Path, answers: Sequence[tuple[str, Picture, Answer]], right: Sequence[set[str]] = ()) -> None:
        """Draw a contact sheet of (caption, photo, answer); `right` frames each photo's known articles in green."""
        rows = []
        for position, (caption, picture, answer) in enumerate(answers):
            known = right[position] if right else set()
            found = [self._found(hit, hit.article_id in known) for hit in answer.hits]
            rows.append(SheetRow(picture, answer.person, found, caption))
        write_sheet(path, rows)

    def close(self) -> None:
        """Give the collection back."""
        self._collection.close()

    def _found(self, hit: Hit, right: bool) -> Found:
        caption = f"{hit.article_id} {hit.score:.2f}"
        return Found(read(self._data / hit.payload["image"]), caption, right)
