"""What an `ArticleFilter` asks of a payload, for every backend, and which payload fields are worth an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.index import ArticleFilter

KEYWORD_FIELDS = ("category", "assortments")
INDEXED_ATTRIBUTES = 32
"""How many attributes get an index, the most frequent first; the others are filtered too, only slower."""


@dataclass(frozen=True)
class OneOf:
    """The payload field `name` must hold one of `values`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Between:
    """The payload field `name` must hold a number from `low` to `high`, both inclusive; None does not limit."""

    name: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class IsTrue:
    """The payload field `name` must be true."""

    name: str


Condition = OneOf | Between | IsTrue


def conditions(where: ArticleFilter | None) -> list[Condition]:
    """The conditions of which an article must pass all to pass `where`."""
    if where is None:
        return []
    found: list[Condition] = []
    if where.category is not None:
        found.append(OneOf("category", (where.category,)))
    if where.assortment is not None:
        found.append(OneOf("assortments", (where.assortment,)))
    found += [OneOf(attribute_field(name), tuple(values)) for name, values in where.attributes.items()]
    if where.price_min is not None or where.price_max is not None:
        found.append(Between("price", where.price_min, where.price_max))
    if where.in_stock:
        found.append(IsTrue("in_stock"))
    return found


def attribute_field(name: str) -> str:
    """The JSON path of an attribute, quoted: names may have dots, brackets and blanks."""
    return f'attributes."{name}"'


def keyword_fields(payloads: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The fields of `payloads` that get an index of keywords."""
    counted = Counter(
        name for payload in payloads for name in payload.get("attributes") or () if name and '"' not in name
    )
    names = sorted(name for name, _ in counted.most_common(INDEXED_ATTRIBUTES))
    return KEYWORD_FIELDS + tuple(attribute_field(name) for name in names)
