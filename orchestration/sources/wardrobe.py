"""A rendered wardrobe: garments, packshots, and photos of people who wear them, with exact masks and pairs.

Numbers and Pillow only: no files, no network, no torch. Everything is a function of its arguments: the same
seed and index give the same bytes in any order, in any process, however many are rendered. Files come from
`orchestration.sources.sample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from orchestration.sources.wardrobe_garments import BOTTOMS, CATEGORIES, Garment, make_garment
from orchestration.sources.wardrobe_scenes import Domain, Scene, render_packshot, render_scene

__all__ = [
    "CATEGORIES",
    "Domain",
    "Garment",
    "Scene",
    "make_garment",
    "plan_closets",
    "plan_outfits",
    "render_packshot",
    "render_scene",
]

CLOSET_SIZE = 5


def plan_closets(garments: Sequence[Garment], seed: int) -> list[list[Garment]]:
    """Part the garments into closets of about `CLOSET_SIZE`, each with its share of every kind."""
    rng = np.random.default_rng([seed, 6])
    shuffled = [garments[place] for place in rng.permutation(len(garments)).tolist()]
    dealt = sorted(shuffled, key=lambda garment: _role(garment))
    count = max(1, round(len(garments) / CLOSET_SIZE))
    return [closet for closet in (dealt[start::count] for start in range(count)) if closet]


def plan_outfits(garments: Sequence[Garment], seed: int, photos_each: int) -> list[tuple[Garment, ...]]:
    """Plan the outfits to be photographed, each garment in exactly `photos_each` of them.

    An outfit is a top half and a bottom half, or a dress, perhaps with a blazer over it; where a closet runs
    out of one half the outfit lacks it. Outfits never reach beyond a closet (`plan_closets`), so that a split
    by closet shares no garment and no photo. The list is `photos_each` rounds of equal length, and each
    garment is in one outfit of each round: render one round in the studio and one in the street, and every
    garment has both.
    """
    closets = plan_closets(garments, seed)
    outfits: list[tuple[Garment, ...]] = []
    for round_number in range(photos_each):
        for number, closet in enumerate(closets):
            rng = np.random.default_rng([seed, 7, round_number, number])
            outfits += _combine([closet[place] for place in rng.permutation(len(closet)).tolist()])
    return outfits


def _role(garment: Garment) -> str:
    if garment.category in BOTTOMS:
        return "bottom"
    return garment.category if garment.category in ("dress", "blazer") else "top"


def _combine(closet: Sequence[Garment]) -> list[tuple[Garment, ...]]:
    """Use each garment of the closet once, in the given order."""
    by_role = {
        role: [garment for garment in closet if _role(garment) == role] for role in ("top", "bottom", "dress", "blazer")
    }
    halves = zip_longest(by_role["top"], by_role["bottom"])
    outfits = [tuple(half for half in pair if half is not None) for pair in halves]
    outfits += [(dress,) for dress in by_role["dress"]]
    with_blazers = zip_longest(outfits, by_role["blazer"])
    return [(*(outfit or ()), *((blazer,) if blazer else ())) for outfit, blazer in with_blazers]
