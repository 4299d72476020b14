"""What a steward lets stand beyond the limits."""

from __future__ import annotations

from typing import Literal

Lenience = Literal["none", "any_share", "taste"]
"""Nothing; any share of rows that fail and are set aside; matters of taste, and then no row may fail."""
