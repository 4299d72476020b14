"""The side (train, val, test) of every photo and article of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from contracts.batches import Article, Pair, Photo
from contracts.files import Place, digest_of_rows
from contracts.splits import Member, SplitResult, SplitShares, assign_splits, read_splits, side_of, write_splits


def update_splits(
    path: Place, articles: Sequence[Article], photos: Sequence[Photo], pairs: Sequence[Pair], shares: SplitShares
) -> tuple[SplitResult, str]:
    """Give every article and photo a side and store it; what is stored stays. Returns also the data version.

    Pairs to articles that the catalogue does not hold are passed over. The data version covers the members there are.
    """
    known = {article.article_id for article in articles}
    links = [(pair.photo_id, pair.article_id) for pair in pairs if pair.article_id in known]
    result = assign_splits(links, read_splits(path), shares)
    sides = dict(result.sides)
    present: list[Member] = [("article", a.article_id) for a in articles] + [("photo", p.photo_id) for p in photos]
    for member in present:
        sides.setdefault(member, side_of("/".join(member), shares))
    write_splits(path, sides)
    version = digest_of_rows(chain(([*member, sides[member]] for member in sorted(present)), [list(result.set_aside)]))
    return SplitResult(sides, result.set_aside), version
