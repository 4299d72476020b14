"""The filters of a request, the same ones in a form and in an address."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Query
from fastapi.exceptions import RequestValidationError

from contracts.index import ArticleFilter

_ATTRIBUTE = 'An attribute and its value, as in "colour=navy". Given again for one attribute: any of the values.'
_IN_STOCK = "Only what is in stock."
_MOST = 32

Name = Annotated[str | None, Form(max_length=200, examples=["trousers"])]
Attributes = Annotated[list[str] | None, Form(description=_ATTRIBUTE, max_length=_MOST, examples=[["colour=navy"]])]
Price = Annotated[float | None, Form(ge=0, allow_inf_nan=False, description="Inclusive.", examples=[100])]
Flag = Annotated[bool, Form(description=_IN_STOCK, examples=[True])]

NameInQuery = Annotated[str | None, Query(max_length=200, examples=["trousers"])]
AttributesInQuery = Annotated[
    list[str] | None, Query(description=_ATTRIBUTE, max_length=_MOST, examples=[["colour=navy"]])
]
PriceInQuery = Annotated[float | None, Query(ge=0, allow_inf_nan=False, description="Inclusive.", examples=[100])]
FlagInQuery = Annotated[bool, Query(description=_IN_STOCK, examples=[True])]


async def filter_of_form(
    category: Name = None,
    assortment: Name = None,
    attribute: Attributes = None,
    price_min: Price = None,
    price_max: Price = None,
    in_stock: Flag = False,
) -> ArticleFilter:
    """The filter that the fields of a form ask for."""
    return _filter(category, assortment, attribute, price_min, price_max, in_stock)


async def filter_of_query(
    category: NameInQuery = None,
    assortment: NameInQuery = None,
    attribute: AttributesInQuery = None,
    price_min: PriceInQuery = None,
    price_max: PriceInQuery = None,
    in_stock: FlagInQuery = False,
) -> ArticleFilter:
    """The filter that the query of an address asks for."""
    return _filter(category, assortment, attribute, price_min, price_max, in_stock)


def _filter(
    category: str | None,
    assortment: str | None,
    attribute: list[str] | None,
    price_min: float | None,
    price_max: float | None,
    in_stock: bool,
) -> ArticleFilter:
    """Raises RequestValidationError for what no article could pass, or no index can ask for."""
    if price_min is not None and price_max is not None and price_min > price_max:
        raise _wrong("price_min", "is more than price_max")
    attributes: dict[str, tuple[str, ...]] = {}
    for one in filter(None, attribute or ()):
        name, separator, value = one.partition("=")
        if not (name and separator and value) or '"' in name or len(one) > 400:
            raise _wrong("attribute", f'"{one[:80]}" is not an attribute and a value, as "colour=navy" is')
        attributes[name] = (*attributes.get(name, ()), value)
    return ArticleFilter(category or None, assortment or None, attributes, price_min, price_max, in_stock)


def _wrong(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("request", field), "msg": message, "type": "value_error"}])
