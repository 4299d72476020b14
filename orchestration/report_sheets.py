"""The pictures of a report: queries with the articles that a package finds for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contracts.images import Picture, Size, read
from contracts.masks import Mask, segmented
from orchestration.contact_sheet import SMALL_TILE, TILE, Found, SheetRow, write_sheet
from orchestration.evaluation import Embedded
from orchestration.ranking import Ranking, rank
from serving.inference import PackageSession
from training.sets import LookPhoto

PHOTOS = 12

_QUERIES, _DEPTH = 4, 50
_SAMPLE, _SHALLOW = 8, 10


def write_query_sheets(folder: Path, session: PackageSession, embedded: Embedded) -> list[Path]:
    """Test queries with their top 50, the right ones in green: at random, the best and the worst. Returns the files."""
    rows = embedded.test_rows()
    ranking = rank(embedded.queries[rows], embedded.gallery, embedded.relevant(rows))
    written = []
    for name, chosen in choose_queries(ranking).items():
        shown = [
            draw_query(session, embedded, embedded.photos[rows[place]], _DEPTH, SMALL_TILE, int(ranking.first[place]))
            for place in chosen
        ]
        if shown:
            write_sheet(folder / f"{name}.png", shown, SMALL_TILE)
            written.append(folder / f"{name}.png")
    return written


def choose_queries(ranking: Ranking, count: int = _QUERIES) -> dict[str, list[int]]:
    """`count` queries each at random, and those whose first right article comes earliest and latest.

    Of equal ranks the higher average precision is better. Queries without a match are not shown. Which of equals are
    taken is random, and the same every time.
    """
    shuffled = np.random.default_rng(0).permutation(np.flatnonzero(ranking.matched))
    ordered = shuffled[np.lexsort((-ranking.precision[shuffled], ranking.first[shuffled]))]
    return {
        "random": shuffled[:count].tolist(),
        "best": ordered[:count].tolist(),
        "worst": ordered[::-1][:count].tolist(),
    }


def write_photo_sheet(path: Path, session: PackageSession, embedded: Embedded, photos: Sequence[LookPhoto]) -> None:
    """Photos, which need not be queries: photo, mask, segmented photo, and the top 10."""
    write_sheet(path, [draw_query(session, embedded, photo, _SHALLOW, TILE, mask=True) for photo in photos])


def write_sample_sheet(path: Path, session: PackageSession, embedded: Embedded) -> None:
    """Test queries at random with their top 10, the right ones in green."""
    rows = embedded.test_rows()
    ranking = rank(embedded.queries[rows], embedded.gallery, embedded.relevant(rows))
    shown = [
        draw_query(session, embedded, embedded.photos[rows[place]], _SHALLOW, TILE, int(ranking.first[place]))
        for place in choose_queries(ranking, _SAMPLE)["random"]
    ]
    write_sheet(path, shown)


def draw_query(
    session: PackageSession,
    embedded: Embedded,
    photo: LookPhoto,
    depth: int,
    tile: Size,
    first: int = 0,
    *,
    mask: bool = False,
) -> SheetRow:
    """A photo with the `depth` articles that the package finds; `first` is the rank of the first right one, if known.

    With `mask` the mask is shown, too, where the package segments. Pictures are decoded for a `tile` of that size.
    """
    picture = read(photo.image)
    person, found_mask = _person(session, picture)
    vector = session.encode_photos([picture if person is None else person])[0]
    best = np.argsort(-(embedded.gallery @ vector), kind="stable")[:depth]
    articles = [embedded.articles[int(row)] for row in best]
    found = [
        Found(
            read(article.images[0], at_least=tile),
            article.article_id,
            article.article_id in photo.articles if photo.articles else None,
        )
        for article in articles
    ]
    caption = f"#{first}: {photo.photo_id}" if first else photo.photo_id
    return SheetRow(picture, person, found, caption, found_mask if mask else None)


def _person(session: PackageSession, picture: Picture) -> tuple[Picture | None, Mask | None]:
    if not session.package.segments:
        return None, None
    mask = session.segment([picture])[0]
    return segmented(picture, mask), mask
