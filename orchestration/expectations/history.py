"""A batch as a whole beside the accepted past: are these the same sort of goods and pictures?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from orchestration.expectations.fact_table import FactTable
from orchestration.expectations.known import KnownData
from orchestration.expectations.picture_facts import PictureFacts
from orchestration.expectations.thresholds import Thresholds


def compare_with_the_past(
    facts: Sequence[PictureFacts],
    categories: Sequence[str],
    known: KnownData,
    table: FactTable,
    thresholds: Thresholds,
) -> dict[str, float | None]:
    """How far the categories and the sizes of the pictures are from the accepted ones; None where too few say.

    `category_shift` is the total variation distance (0: alike, 1: nothing in common), `size_ratio` the ratio of the
    medians of the smaller sides, the larger over the smaller.
    """
    enough = thresholds.enough_to_compare
    now = Counter(categories)
    comparable = min(now.total(), sum(known.categories.values())) >= enough
    sides = [float(min(fact.size)) for fact in facts if fact.problem is None]
    places = table.places(one.sha256 for one in known.pictures)
    past = table.sides_px[places[places >= 0]]
    ratio = None
    if min(len(sides), len(past)) >= enough:
        ratio = float(np.median(sides) / np.median(past))
    return {
        "category_shift": _distance(now, known.categories) if comparable else None,
        "size_ratio": None if ratio is None else max(ratio, 1 / ratio),
    }


def _distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """The total variation distance of two distributions given as counts."""
    total, other_total = sum(one.values()), sum(other.values())
    names = {*one, *other}
    return sum(abs(one.get(name, 0) / total - other.get(name, 0) / other_total) for name in names) / 2
