"""What is asked of a batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """The limits of a verdict.

    A batch of which less than `quarantine_share` of the rows fail is accepted without them; otherwise it is rejected.
    `smallest_spread` is the standard deviation of grey levels (0 to 255) under which a picture counts as blank. Two
    pictures look the same when their perceptual hashes differ in at most `same_look_bits` of 64 bits and their mean
    colours in at most `same_colour_levels` of 255.
    """

    quarantine_share: float = 0.1
    smallest_side_px: int = 64
    largest_aspect: float = 4.0
    smallest_spread: float = 2.0
    smallest_mask_share: float = 0.005
    same_look_bits: int = 2
    same_colour_levels: float = 3.0
