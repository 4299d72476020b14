"""How well the edge of a mask follows the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.masks import Mask


def boundary(mask: Mask) -> Mask:
    """The pixels of `mask` (H, W) that have a background pixel beside, above or below them.

    The border of the photo is no boundary: a person whom the photo cuts off does not end there.
    """
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask, border_value=1))


def boundary_f_score(predicted: Mask, truth: Mask, within_px: float = 3.0) -> float:
    """The boundary F-score (Perazzi et al. 2016, section 4) of two masks (H, W), in [0, 1]; higher is better.

    The harmonic mean of the share of the predicted boundary that lies `within_px` of the true one, and the reverse.
    Two masks without a boundary agree fully; one without and one with do not agree at all.
    """
    ours, theirs = boundary(predicted), boundary(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    precision = float((_distance_to(theirs)[ours] <= within_px).mean())
    recall = float((_distance_to(ours)[theirs] <= within_px).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _distance_to(pixels: Mask) -> NDArray[np.float64]:
    """(H, W) Euclidean distance in pixels to the nearest True of `pixels`."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~pixels), dtype=np.float64)
