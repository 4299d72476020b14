"""From a shop's words for its categories to the eight that the models know."""

from __future__ import annotations

from collections import Counter

from contracts.vocabulary import CATEGORIES

SYNONYMS = {
    "blazers": "blazer",
    "suit jacket": "blazer",
    "dresses": "dress",
    "gown": "dress",
    "gowns": "dress",
    "lace dress": "dress",
    "sleeveless dress": "dress",
    "suspenders dress": "dress",
    "jumpers": "jumper",
    "sweater": "jumper",
    "sweaters": "jumper",
    "sweatshirt": "jumper",
    "sweatshirts": "jumper",
    "pullover": "jumper",
    "pullovers": "jumper",
    "hoodie": "jumper",
    "hoodies": "jumper",
    "sweatshirts hoodies": "jumper",
    "shirts": "shirt",
    "polo shirt": "shirt",
    "lace shirt": "shirt",
    "blouse": "shirt",
    "blouses": "shirt",
    "blouse shirt": "shirt",
    "blouses shirts": "shirt",
    "shirts polos": "shirt",
    "skirts": "skirt",
    "pants": "trousers",
    "jeans": "trousers",
    "chinos": "trousers",
    "trouser": "trousers",
    "suspenders trousers": "trousers",
    "track pants": "trousers",
    "trackpants": "trousers",
    "tshirt": "t-shirt",
    "tshirts": "t-shirt",
    "t-shirts": "t-shirt",
    "t shirt": "t-shirt",
    "t shirts": "t-shirt",
    "tee": "t-shirt",
    "tees": "t-shirt",
    "graphic tees": "t-shirt",
    "tops": "top",
    "tank top": "top",
    "tank tops": "top",
    "tees tanks": "top",
}
"""Clear synonyms only: what is not here keeps its own name, in lower case."""


def map_category(given: str, mapped: Counter[tuple[str, str]]) -> str:
    """The category that `given` stands for; a renaming (beyond lower case) is counted in `mapped`."""
    plain = " ".join(given.lower().split())
    category = SYNONYMS.get(plain, plain)
    if category in CATEGORIES and category != plain:
        mapped[(given, category)] += 1
    return category
