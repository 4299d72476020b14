"""Pictures that look the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from orchestration.expectations.picture_facts import PictureFacts
from orchestration.expectations.thresholds import Thresholds

BANDS = (0, 21, 42, 64)
"""Hashes that differ in at most two bits are equal in at least one of the three bands between these."""


def find_twins(facts: Sequence[PictureFacts], owners: Sequence[str], thresholds: Thresholds) -> dict[int, int]:
    """For each picture that looks like an earlier one of another owner: the place of that earlier picture.

    Hashes are compared only where a band of their bits agrees, so up to two bits of difference are found without
    comparing all with all.
    """
    if thresholds.same_look_bits >= len(BANDS) - 1:
        raise ValueError(f"same_look_bits must be under {len(BANDS) - 1}")
    looks = np.array([fact.look for fact in facts], dtype=np.uint64)
    colours = np.array([fact.colour for fact in facts], dtype=np.float32).reshape(-1, 3)
    usable = [place for place, fact in enumerate(facts) if fact.problem is None]
    twins: dict[int, int] = {}
    for group in _groups(looks, usable):
        for rank in range(1, len(group)):
            here, earlier = group[rank], group[:rank]
            alike = np.bitwise_count(looks[earlier] ^ looks[here]) <= thresholds.same_look_bits
            alike &= np.abs(colours[earlier] - colours[here]).max(axis=1) <= thresholds.same_colour_levels
            others = [int(one) for one in earlier[alike] if owners[one] != owners[here]]
            if others:
                twins[int(here)] = min(others[0], twins.get(int(here), others[0]))
    return twins


def _groups(looks: NDArray[np.uint64], usable: Sequence[int]) -> list[NDArray[np.intp]]:
    """Places (ascending) whose hashes agree in a band, for each band and each value that occurs more than once."""
    places = np.asarray(usable, dtype=np.intp)
    groups = []
    for low, high in pairwise(BANDS):
        keys = (looks[places] >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] + np.uint64(1)))
        groups += [group for group in np.split(places[order], starts) if group.size > 1]
    return groups
