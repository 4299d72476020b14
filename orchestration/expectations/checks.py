"""The checks, as data: which column of which table, what is expected of it, and how a failure is put into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.batches import Kind
from contracts.vocabulary import DOMAINS, OPERATIONS
from orchestration.expectations.thresholds import Thresholds

Rule = Literal["unique", "empty", "one_of", "between", "like"]

PLAIN_ID = r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,198}[^\s\x00-\x1f\x7f])?$"
"""1 to 200 characters, none of them a control character, no space at either end."""


@dataclass(frozen=True)
class Check:
    """An expectation of one column. `reason` is what a failing row is told; `{value}` stands for what was found.

    A failure sets the row aside, or, when it is only a `warning`, is shown to the steward and changes nothing.
    """

    frame: str
    column: str
    rule: Rule
    reason: str
    arguments: dict[str, Any] = field(default_factory=dict)
    warning: bool = False


def checks_for(kind: Kind, thresholds: Thresholds) -> list[Check]:
    """The checks of a batch of that kind."""
    if kind == "catalogue":
        return [*_identity("articles"), *_ARTICLES, *_pictures(thresholds, same_is_warning=False)]
    domains = Check("photos", "domain", "one_of", "the domain '{value}' is not street or studio", _values(DOMAINS))
    return [
        *_identity("photos"),
        domains,
        *_pictures(thresholds, same_is_warning=True),
        *_masks(thresholds),
        *_PAIRS,
    ]


def _values(allowed: tuple[str, ...]) -> dict[str, Any]:
    return {"value_set": list(allowed)}


def _identity(frame: str) -> list[Check]:
    return [
        Check(frame, "id", "like", "the id '{value}' is empty or not plain text", {"regex": PLAIN_ID}),
        Check(frame, "id", "unique", "the id '{value}' is there more than once"),
        Check(frame, "op", "one_of", "the op '{value}' is not upsert or delete", _values(OPERATIONS)),
    ]


_ARTICLES = [
    Check("articles", "category", "like", "the category is empty", {"regex": r"\S"}),
    Check("articles", "images", "between", "the article has no image", {"min_value": 1}),
    Check("articles", "digests_missing", "between", "images and digests are not as many", {"max_value": 0}),
]

_PAIRS = [
    Check("pairs", "id", "unique", "the pair is there more than once"),
    Check("pairs", "unknown_photo", "empty", "no such photo: {value}"),
    Check("pairs", "unknown_article", "empty", "no such article: {value} (deliver its catalogue batch first)"),
    Check("pairs", "box_problem", "empty", "the box lies outside its reference size: {value}"),
]


def _pictures(thresholds: Thresholds, *, same_is_warning: bool) -> list[Check]:
    side, aspect, spread = thresholds.smallest_side_px, thresholds.largest_aspect, thresholds.smallest_spread
    return [
        Check("images", "problem", "empty", "{value}"),
        Check("images", "altered", "empty", "not the file that was described: {value}"),
        Check(
            "images", "side_px", "between", f"the smaller side is {{value:.0f}} px, under {side}", {"min_value": side}
        ),
        Check(
            "images",
            "aspect",
            "between",
            f"the sides are as {{value:.1f}} to 1, over {aspect:g}",
            {"max_value": aspect},
        ),
        Check("images", "spread", "between", "the picture is blank", {"min_value": spread}),
        Check("images", "same_as", "empty", "the same file as that of {value}", warning=same_is_warning),
        Check("images", "looks_like", "empty", "looks the same as {value}", warning=True),
    ]


def _masks(thresholds: Thresholds) -> list[Check]:
    least = thresholds.smallest_mask_share
    return [
        Check("masks", "problem", "empty", "{value}"),
        Check("masks", "share", "between", f"the mask covers {{value:.1%}}, under {least:.1%}", {"min_value": least}),
        Check("masks", "share", "between", "the mask covers everything", {"max_value": 0.999}, warning=True),
    ]
