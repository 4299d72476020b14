"""Which other picture each delivered picture is, looks like, or replaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration.expectations.fact_table import FactTable
from orchestration.expectations.known import KnownPicture
from orchestration.expectations.picture_facts import PictureFacts
from orchestration.expectations.thresholds import Thresholds
from orchestration.expectations.twins import Looks, find_known_twins, find_twins


@dataclass(frozen=True)
class NamedPicture:
    """A picture as the row `row` of a batch's table names it; `sha256` is the digest that was described, or empty."""

    row: int
    owner: str
    image: str
    sha256: str


@dataclass(frozen=True)
class Likeness:
    """Whose picture this one is (`same_as`) or looks like, or the accepted id whose pictures it differs from."""

    same_as: str | None = None
    looks_like: str | None = None
    replaces: str | None = None


def find_likenesses(
    named: Sequence[NamedPicture],
    facts: Sequence[PictureFacts],
    known: Sequence[KnownPicture],
    table: FactTable,
    thresholds: Thresholds,
) -> list[Likeness]:
    """The likeness of each picture to those before it in the batch, and to accepted ones of other owners.

    An earlier one of the batch is named before an accepted one, and the same file before a likeness.
    """
    owners = [one.owner for one in named]
    within = find_twins(facts, owners, thresholds)
    places = table.places(one.sha256 for one in known)
    seen = [known[int(place)] for place in np.flatnonzero(places >= 0)]
    accepted = _accepted_twins(facts, owners, seen, table, places[places >= 0], thresholds)
    exact: defaultdict[str, list[str]] = defaultdict(list)
    known_owners = set()
    for one in seen:
        exact[one.sha256].append(one.owner)
        known_owners.add(one.owner)
    likenesses = []
    for place, (owner, fact) in enumerate(zip(owners, facts, strict=True)):
        twin = within.get(place)
        same = [owners[twin]] if twin is not None and facts[twin].sha256 == fact.sha256 else []
        same += [f"the accepted {other}" for other in exact.get(fact.sha256, ()) if other != owner]
        alike = [owners[twin]] if twin is not None else []
        alike += [f"the accepted {other}" for other in accepted.get(place, ()) if other != owner]
        other_picture = owner in known_owners and owner not in accepted.get(place, ())
        likenesses.append(
            Likeness(
                same_as=same[0] if same else None,
                looks_like=alike[0] if alike and not same else None,
                replaces=owner if other_picture else None,
            )
        )
    return likenesses


def _accepted_twins(
    facts: Sequence[PictureFacts],
    owners: Sequence[str],
    seen: Sequence[KnownPicture],
    table: FactTable,
    places: NDArray[np.intp],
    thresholds: Thresholds,
) -> dict[int, list[str]]:
    """For each sound picture of the batch: the owners of the accepted pictures that look the same."""
    known = Looks(table.looks[places], table.colours[places], [one.owner for one in seen])
    twins = find_known_twins(Looks.of(facts, owners), known, thresholds)
    return {here: [known.owners[one] for one in found] for here, found in twins.items() if facts[here].problem is None}
