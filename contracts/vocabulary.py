"""The words that batches use."""

from __future__ import annotations

CATEGORIES = ("blazer", "dress", "jumper", "shirt", "skirt", "trousers", "t-shirt", "top")
"""The eight categories of Street2Fashion2Shop. A shop's other categories are kept, in lower case."""

OPERATIONS = ("upsert", "delete")
DOMAINS = ("street", "studio")
SPLITS = ("train", "val", "test")
