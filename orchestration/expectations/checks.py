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

    A failure sets the row aside, or, when it is only a `warning`, is shown to the steward and changes nothing. What
    is a matter of `taste` a steward may let pass; the rest nothing downstream could use.
    """

    frame: str
    column: str
    rule: Rule
    reason: str
    arguments: dict[str, Any] = field(default_factory=dict)
    warning: bool = False
    taste: bool = False


def checks_for(kind: Kind, thresholds: Thresholds) -> list[Check]:
    """The checks of a batch of that kind."""
    if kind == "catalogue":
        return [
            *_identity("articles"),
            *_ARTICLES,
            *_pictures(thresholds, same_is_warning=False),
            *_packshots(thresholds),
            *_history(thresholds),
        ]
    domains = Check("photos", "domain", "one_of", "the domain '{value}' is not street or studio", _values(DOMAINS))
    return [
        *_identity("photos"),
        domains,
        *_pictures(thresholds, same_is_warning=True),
        *_masks(thresholds),
        *_PAIRS,
        *_history(thresholds),
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
    Check(
        "articles",
        "new_category",
        "empty",
        "the category '{value}' is new: not one of the eight, and no accepted article has it",
        warning=True,
    ),
    Check("articles", "price_problem", "empty", "the price is {value}: not a finite number of at least 0"),
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
    small, long = f"the smaller side is {{value:.0f}} px, under {side}", f"over {aspect:g}"
    return [
        _of_picture("problem", "empty", "{value}"),
        _of_picture("altered", "empty", "not the file that was described: {value}"),
        _of_picture("side_px", "between", small, {"min_value": side}, taste=True),
        _of_picture(
            "aspect", "between", f"the sides are as {{value:.1f}} to 1, {long}", {"max_value": aspect}, taste=True
        ),
        _of_picture("spread", "between", "the picture is blank", {"min_value": spread}, taste=True),
        _of_picture("same_as", "empty", "the same file as that of {value}", warning=same_is_warning, taste=True),
        _of_picture("looks_like", "empty", "looks the same as {value}", warning=True),
        _of_picture("misnamed", "empty", "the name ends in another format than the file's: {value}", warning=True),
        _of_picture("replaces", "empty", "another picture than those accepted for {value}: an update", warning=True),
    ]


def _packshots(thresholds: Thresholds) -> list[Check]:
    least, most = thresholds.smallest_background_share, thresholds.largest_background_share
    little, much = {"min_value": least}, {"max_value": most}
    return [
        _of_picture("background", "between", f"background {{value:.0%}}, under {least:.0%}", little, warning=True),
        _of_picture("background", "between", f"background {{value:.0%}}, over {most:.0%}", much, warning=True),
    ]


def _of_picture(
    column: str,
    rule: Rule,
    reason: str,
    arguments: dict[str, Any] | None = None,
    *,
    warning: bool = False,
    taste: bool = False,
) -> Check:
    return Check("images", column, rule, reason, arguments or {}, warning, taste)


def _masks(thresholds: Thresholds) -> list[Check]:
    least = thresholds.smallest_mask_share
    little = f"the mask covers {{value:.1%}}, under {least:.1%}"
    return [
        Check("masks", "problem", "empty", "{value}"),
        Check("masks", "share", "between", little, {"min_value": least}),
        Check("masks", "share", "between", "the mask covers everything", {"max_value": 0.999}, warning=True),
    ]


def _history(thresholds: Thresholds) -> list[Check]:
    shift, ratio = thresholds.largest_category_shift, thresholds.largest_size_ratio
    goods = f"the categories are not those accepted so far (distance {{value:.2f}}, over {shift:g})"
    sizes = f"the pictures are {{value:.1f}} times larger or smaller than those accepted so far, over {ratio:g}"
    return [
        Check("batch", "category_shift", "between", goods, {"max_value": shift}, warning=True),
        Check("batch", "size_ratio", "between", sizes, {"max_value": ratio}, warning=True),
    ]
