"""Train, validation and test: assigned once, by hash, and stored.

Garments and photos that are linked by a pair belong to one component; a component is on one side. A side, once
given, never changes: a later pair that would join two sides is set aside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from contracts.files import Place, read_table, write_table

Member = tuple[str, str]
"""("article" | "photo", id)"""


@dataclass(frozen=True)
class SplitShares:
    """The shares of validation and test; the rest trains."""

    val: float = 0.1
    test: float = 0.25


@dataclass(frozen=True)
class SplitResult:
    """The side of every member, and the pairs (photo_id, article_id) that would have bridged two sides."""

    sides: dict[Member, str]
    set_aside: tuple[tuple[str, str], ...]


def side_of(key: str, shares: SplitShares) -> str:
    """The side that the hash of `key` gives."""
    position = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    if position < shares.test:
        return "test"
    return "val" if position < shares.test + shares.val else "train"


def assign_splits(pairs: Iterable[tuple[str, str]], stored: Mapping[Member, str], shares: SplitShares) -> SplitResult:
    """Give every photo and article of `pairs` (photo_id, article_id) a side, keeping what is `stored`.

    The pairs are taken in order: earlier pairs bind first, so a later pair that bridges is the one set aside.
    """
    parent: dict[Member, Member] = {}
    side: dict[Member, str] = {}

    def root(member: Member) -> Member:
        if member not in parent:
            parent[member] = member
            if member in stored:
                side[member] = stored[member]
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    set_aside = []
    for photo_id, article_id in pairs:
        one, other = root(("photo", photo_id)), root(("article", article_id))
        sides = {side[end] for end in (one, other) if end in side}
        if len(sides) == 2:
            set_aside.append((photo_id, article_id))
            continue
        keep, join = sorted((one, other))
        parent[join] = keep
        if sides:
            side[keep] = sides.pop()
    result = dict(stored)
    for member in parent:
        top = root(member)
        result.setdefault(member, side.get(top) or side_of("/".join(top), shares))
    return SplitResult(result, tuple(set_aside))


_SCHEMA = pa.schema([("kind", pa.string()), ("id", pa.string()), ("side", pa.string())])


def read_splits(path: Place) -> dict[Member, str]:
    """The stored sides; empty where none are stored yet."""
    if not path.exists():
        return {}
    table = read_table(path)
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    return {(kind, key): side for kind, key, side in zip(*columns, strict=True)}


def write_splits(path: Place, sides: Mapping[Member, str]) -> None:
    """Store the sides in one step."""
    members = sorted(sides)
    columns = {
        "kind": [kind for kind, _ in members],
        "id": [key for _, key in members],
        "side": [sides[member] for member in members],
    }
    write_table(path, pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()}))
