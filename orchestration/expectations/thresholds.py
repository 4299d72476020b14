"""What is asked of a batch: the section `[validation]` of `threadline.toml`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Thresholds(BaseModel):
    """The limits of a verdict.

    A batch of which less than `quarantine_share` of the rows fail is accepted without them; otherwise it is rejected.
    `smallest_spread` is the standard deviation of grey levels (0 to 255) under which a picture counts as blank. Two
    pictures look the same when their perceptual hashes differ in at most `same_look_bits` of 64 bits and their mean
    colours in at most `same_colour_levels` of 255. The background of a packshot is what has the colour of its border,
    as a share of the picture. A batch is compared with the accepted past from `enough_to_compare` rows on either side:
    `largest_category_shift` is the total variation distance of their categories (0 to 1), `largest_size_ratio` that
    of the medians of their smaller sides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quarantine_share: float = Field(0.1, ge=0, le=1)
    smallest_side_px: int = Field(64, ge=16)
    largest_aspect: float = Field(4.0, ge=1)
    smallest_spread: float = Field(2.0, ge=0)
    smallest_mask_share: float = Field(0.005, ge=0, le=1)
    same_look_bits: int = Field(2, ge=0, le=2)
    same_colour_levels: float = Field(3.0, ge=0, le=255)
    smallest_background_share: float = Field(0.1, ge=0, le=1)
    largest_background_share: float = Field(0.99, ge=0, le=1)
    largest_category_shift: float = Field(0.6, ge=0, le=1)
    largest_size_ratio: float = Field(2.0, ge=1)
    enough_to_compare: int = Field(50, ge=1)
