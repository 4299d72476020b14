"""What each route refuses, for the API's description: when, and what the refusal says."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from serving.photos import not_an_image, too_large
from serving.problems import (
    Problem,
    busy,
    documented,
    index_unavailable,
    invalid,
    late,
    no_key,
    no_keys,
    slow_upload,
)
from serving.service import no_release

ARTICLE_ID = "TRS-0421"
"""The article of the examples."""


def no_reranker(ways: Sequence[str]) -> Problem:
    """The refusal of a reranking that is none of the `ways` of the release that serves."""
    detail = f"the release that serves does not rerank so; it can: {', '.join(ways) or 'none'}"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no-reranker", detail)


def unknown_article(article_id: str) -> Problem:
    """The refusal of an article that is not in the index."""
    return Problem(HTTPStatus.NOT_FOUND, "unknown-article", f"no article '{article_id}' is in the release that serves")


def no_image(article_id: str) -> Problem:
    """The refusal of an image that is not there."""
    return Problem(HTTPStatus.NOT_FOUND, "no-image", f"the article '{article_id}' has no image here")


_NOT_A_FORM = Problem(HTTPStatus.BAD_REQUEST, "bad-request", "There was an error parsing the body")
_WRONG_K = invalid([{"field": "k", "message": "Input should be less than or equal to 200"}])
_UNUSABLE = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unusable-image", "12 x 90 pixels: a side is under 16")
_PIXELS = "9000 x 6000 pixels are more than the 50,000,000 accepted"
_TOO_MANY_PIXELS = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-many-pixels", _PIXELS)

KEY = documented("No API key, where one is needed", no_key())
REFRESH = documented("The service has no keys", no_keys())
READINESS = documented("No release, no index, or no time", no_release(None), index_unavailable(), late(10))
LOOKUP = READINESS | documented("The line is full", busy())
ARTICLE = {
    **LOOKUP,
    **documented("No such article in the release", unknown_article(ARTICLE_ID)),
    **documented("A parameter is wrong", _WRONG_K),
}
IMAGE = ARTICLE | documented("No such article, or no image of it", unknown_article(ARTICLE_ID), no_image(ARTICLE_ID))
LOOK = {
    **LOOKUP,
    **documented("Not a form", _NOT_A_FORM),
    **documented("The photo did not arrive in time", slow_upload(30)),
    **documented("Too many bytes or pixels", too_large(20_000_000), _TOO_MANY_PIXELS),
    **documented("Not a picture in a known format", not_an_image("not a picture in a known format")),
    **documented("A field is wrong, or the photo cannot be used", _WRONG_K, _UNUSABLE),
}
SEARCH = LOOK | documented(
    "A field is wrong, or the photo cannot be used", _WRONG_K, _UNUSABLE, no_reranker(["k-reciprocal"])
)
