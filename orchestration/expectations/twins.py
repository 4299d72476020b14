"""Pictures that look the same: within a batch, and among those accepted before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from orchestration.expectations.picture_facts import PictureFacts
from orchestration.expectations.thresholds import Thresholds

BANDS = (0, 21, 42, 64)
"""Hashes that differ in at most two bits are equal in at least one of the three bands between these."""


@dataclass(frozen=True)
class Looks:
    """What pictures look like: hashes (N,), mean colours (N, 3), and whose each picture is."""

    hashes: NDArray[np.uint64]
    colours: NDArray[np.float32]
    owners: Sequence[str]

    @staticmethod
    def of(facts: Sequence[PictureFacts], owners: Sequence[str]) -> Looks:
        """The looks that `facts` tell."""
        hashes = np.array([fact.look for fact in facts], dtype=np.uint64)
        return Looks(hashes, np.array([fact.colour for fact in facts], dtype=np.float32).reshape(-1, 3), owners)

    def alike(self, places: NDArray[np.intp], other: Looks, place: int, thresholds: Thresholds) -> NDArray[np.intp]:
        """Those of `places` that look the same as picture `place` of `other`."""
        close = np.bitwise_count(self.hashes[places] ^ other.hashes[place]) <= thresholds.same_look_bits
        close &= np.abs(self.colours[places] - other.colours[place]).max(axis=1) <= thresholds.same_colour_levels
        return places[np.flatnonzero(close)]


def find_twins(facts: Sequence[PictureFacts], owners: Sequence[str], thresholds: Thresholds) -> dict[int, int]:
    """For each picture that looks like an earlier one of another owner: the place of that earlier picture.

    Hashes are compared only where a band of their bits agrees, so up to two bits of difference are found without
    comparing all with all.
    """
    looks = Looks.of(facts, owners)
    usable = np.array([place for place, fact in enumerate(facts) if fact.problem is None], dtype=np.intp)
    twins: dict[int, int] = {}
    for here, others in _candidates(looks.hashes[usable], looks.hashes[usable]):
        place = int(usable[here])
        earlier = usable[others[others < here]]
        found = [int(one) for one in looks.alike(earlier, looks, place, thresholds) if owners[one] != owners[place]]
        if found:
            twins[place] = min(*found, twins.get(place, found[0]))
    return twins


def find_known_twins(looks: Looks, known: Looks, thresholds: Thresholds) -> dict[int, list[int]]:
    """For each picture that looks like `known` ones: their places, ascending."""
    twins: dict[int, set[int]] = {}
    for here, others in _candidates(looks.hashes, known.hashes):
        found = known.alike(others, looks, here, thresholds)
        if found.size:
            twins.setdefault(here, set()).update(map(int, found))
    return {here: sorted(found) for here, found in twins.items()}


def _candidates(hashes: NDArray[np.uint64], among: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """For each band, and each of `hashes`: the places (ascending) in `among` that agree in the band, if any."""
    for low, high in pairwise(BANDS):
        bits = np.uint64(2 ** (high - low) - 1)
        wanted, keys = (hashes >> np.uint64(low)) & bits, (among >> np.uint64(low)) & bits
        order = np.argsort(keys, kind="stable")
        starts, ends = (np.searchsorted(keys[order], wanted, side=side) for side in ("left", "right"))
        for here in np.flatnonzero(ends > starts):
            yield int(here), order[starts[here] : ends[here]]
