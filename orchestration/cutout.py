"""A person cut out of a studio photo: a plain backdrop, lit unevenly, with the noise of a JPEG.

The backdrop's colour is a smooth surface that the photo's margin gives. What is of that colour and can be reached from
the border is surely backdrop, what differs much is surely person, and so is what lies deep inside; to whom the pixels
between belong is decided by random walks (Grady 2006, "Random walks for image segmentation"), which edges stop. So a
white shirt before a white wall is kept by its faint outline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.images import Picture, fitted_box
from contracts.masks import Mask, resize_mask

Floats = NDArray[np.float64]

WORKING_SIZE = (256, 256)
"""The backdrop is found at this size at most; the lengths below are pixels of it."""

_REACH_PX = 2.4
_DEEP_PX = 8
_NEAR_STRONG_PX = 30
_BORDER_PX = 8
_SIDE_PX = 5
_DARKEST_FLOOR = 0.8
_EDGE_PX = 1.5
_RINGING = 0.15
"""A JPEG's ripples beside an edge, as a share of the edge."""
_LARGEST_GAP = 0.05
_SMALLEST, _LARGEST = 0.08, 0.9
_LARGEST_PIECE = 0.05
_MOST_FAINT = 0.3


class CannotCutOut(ValueError):  # noqa: N818 - read as a sentence: "raises CannotCutOut"
    """The person cannot be told from the backdrop; the message says how that was seen."""


@dataclass(frozen=True)
class Cutout:
    """A person without a background.

    `colours` (H, W, 3) uint8 go on beyond the person's edge, so that no light of the backdrop is left in it;
    `opacity` (H, W) float32 in [0, 1] is soft for a pixel or two.
    """

    colours: Picture
    opacity: NDArray[np.float32]

    @property
    def mask(self) -> Mask:
        """The person, (H, W)."""
        return self.opacity >= 0.5


def cut_out(picture: Picture) -> Cutout:
    """Cut the person out of a studio photo. Raises CannotCutOut when what is found is no whole person."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    _, _, height, width = fitted_box(picture.shape[:2], WORKING_SIZE)
    small = picture
    if height < picture.shape[0]:
        small = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
    found = resize_mask(_find_person(small), (picture.shape[0], picture.shape[1]))
    opacity = _bordered(lambda mask: gaussian_filter(mask.astype(np.float32), 0.7 * picture.shape[0] / height), found)
    inside = _depth(found) > _EDGE_PX * picture.shape[0] / height
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return Cutout(picture[rows, columns], np.clip(opacity, 0, 1).astype(np.float32))


def _find_person(picture: Picture) -> Mask:
    backdrop, noise = _backdrop(picture)
    floor = backdrop * _shade(picture, backdrop)[..., None]
    difference = np.minimum(*(np.abs(picture - plain).max(axis=-1) for plain in (backdrop, floor)))
    tolerance = float(np.clip(2 * noise, 5, 7))
    outside = _reached(difference, tolerance)
    person = _filled(_largest(_opened(~outside)))
    gaps = _gaps(difference, person, tolerance, noise)
    mask = _largest(_walked(picture, _seeds(difference, person, gaps, tolerance), max(2.0, noise)))
    _check(mask, difference, tolerance)
    return mask


def _backdrop(picture: Picture) -> tuple[Floats, float]:
    """The backdrop's colour at each pixel, (H, W, 3), and its noise: quadratic, and fitted to the photo's margin."""
    from scipy.ndimage import binary_erosion, uniform_filter

    height, width = picture.shape[:2]
    smooth = uniform_filter(picture.astype(np.float64), (3, 3, 1))
    margin = np.ones((height, width), dtype=np.bool_)
    margin[height // 8 :, width // 6 : -(width // 6)] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    light = smooth.mean(axis=-1)
    usual = np.convolve(np.bincount(light[margin].astype(np.int64), minlength=256), np.ones(13), "same").argmax()
    surface = np.broadcast_to(np.median(smooth[margin & (np.abs(light - usual) < 8)], axis=0), smooth.shape)
    taken = margin
    for within, count in ((30, 3), (14, 6), (8, 6), (6, 6)):  # a plane first: a curve would follow the person
        close = margin & (np.abs(smooth - surface).max(axis=-1) < within)
        taken = binary_erosion(close, iterations=2, border_value=1) & margin
        if taken.sum() < 2 * terms.shape[-1]:
            raise CannotCutOut("no plain backdrop at the margin")
        surface = terms[..., :count] @ np.linalg.lstsq(terms[taken][:, :count], smooth[taken], rcond=None)[0]
    return surface, max(1.0, float(np.percentile(np.abs(picture - surface).max(axis=-1)[taken], 95)))


def _shade(picture: Picture, backdrop: Floats) -> Floats:
    """How much darker than the `backdrop` each pixel's row is at the photo's sides, (H, W): where a floor begins.

    A side counts where it is an evenly darker backdrop; between two that do, one goes over into the other.
    """
    from scipy.ndimage import median_filter

    width = picture.shape[1]
    sides = []
    for columns in (slice(0, _SIDE_PX), slice(-_SIDE_PX, None)):
        channels = np.median(picture[:, columns], axis=1) / np.maximum(backdrop[:, columns].mean(axis=1), 1)  # (H, 3)
        shade = median_filter(channels.mean(axis=1), 5)
        even = (np.ptp(channels, axis=1) < 0.03) & (shade > _DARKEST_FLOOR) & (shade < 1.02)
        sides.append(np.where(even, shade, np.nan))
    left, right = (np.where(np.isnan(one), other, one) for one, other in (sides, sides[::-1]))
    across = np.linspace(0, 1, width)
    return np.asarray(np.nan_to_num(left[:, None] * (1 - across) + right[:, None] * across, nan=1.0))


def _close(difference: Floats, tolerance: float) -> Mask:
    """The pixels of the backdrop's colour; beside strong edges a JPEG's ripples are allowed for."""
    from scipy.ndimage import maximum_filter

    return np.asarray(difference < np.clip(_RINGING * maximum_filter(difference, 7), tolerance, 30))


def _reached(difference: Floats, tolerance: float) -> Mask:
    """The backdrop as far as a disk can roll in from the border; through a finer leak in an outline it cannot."""
    from scipy.ndimage import distance_transform_edt, label

    close = _close(difference, tolerance)
    core = _depth(close) > _REACH_PX
    parts, _ = label(core)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    reached = np.isin(parts, np.unique(border[border > 0]))
    if not reached.any():
        raise CannotCutOut("no backdrop at the border")
    return np.asarray((distance_transform_edt(~reached) <= _REACH_PX + 1.5) & close)


def _gaps(difference: Floats, person: Mask, tolerance: float, noise: float) -> Mask:
    """Where the backdrop shows through, as between arm and body: flat, of its colour, with a sharp rim."""
    from scipy.ndimage import distance_transform_edt, label

    gaps = np.zeros_like(person)
    parts, count = label(_opened(_close(difference, tolerance) & person))
    for number in range(1, count + 1):
        part = parts == number
        if not 12 <= part.sum() <= _LARGEST_GAP * part.size or np.median(difference[part]) >= 1.5 * noise:
            continue
        away = distance_transform_edt(~part)
        rim = difference[(away > 1.5) & (away <= 5) & person]
        if (rim > 3 * tolerance).mean() > 0.65:
            gaps |= part
    return gaps


def _seeds(difference: Floats, person: Mask, gaps: Mask, tolerance: float) -> tuple[Mask, Mask]:
    """What is surely person, and what is surely backdrop."""
    from scipy.ndimage import distance_transform_edt

    strong = difference > 4 * tolerance
    solid = person & ~gaps
    deep = (_depth(solid) > _DEEP_PX) & (distance_transform_edt(~strong) < _NEAR_STRONG_PX)
    ours = solid & (deep | (_depth(strong) > 1))
    if not ours.any():
        raise CannotCutOut("nobody stands out against the backdrop")
    return ours, (~person & (_depth(~person) > 1)) | (gaps & (_depth(gaps) > 1))


def _walked(picture: Picture, seeds: tuple[Mask, Mask], contrast: float) -> Mask:
    """The pixels from which a random walk comes to the person's seeds first more often than to the backdrop's.

    A step between neighbours whose colours differ by `contrast` is e times rarer than one between equals.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import spsolve

    ours, theirs = (seed.ravel() for seed in seeds)
    smooth = gaussian_filter(picture.astype(np.float64), (0.7, 0.7, 0))
    places = np.arange(ours.size).reshape(picture.shape[:2])
    ends, steps = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(smooth, axis=axis)).max(axis=-1)
        steps.append(np.exp(-((step / contrast) ** 2)).ravel() + 1e-3)
        before, after = np.delete(places, -1, axis), np.delete(places, 0, axis)
        ends.append(np.stack([before.ravel(), after.ravel()]))
    (before, after), weights = np.concatenate(ends, axis=1), np.concatenate(steps)
    both = (np.concatenate([before, after]), np.concatenate([after, before]))
    walks = coo_array((np.tile(weights, 2), both), shape=(ours.size, ours.size)).tocsr()
    laplacian = (diags_array(walks.sum(axis=1)) - walks).tocsr()
    chance = ours.astype(np.float64)
    open_ = ~(ours | theirs)
    if open_.any():
        rows = laplacian[open_]
        chance[open_] = spsolve(rows[:, open_].tocsc(), -(rows[:, ~open_] @ chance[~open_]))
    return _opened(chance.reshape(picture.shape[:2]) > 0.5)


def _check(mask: Mask, difference: Floats, tolerance: float) -> None:
    """Raise CannotCutOut where a garment went with the backdrop, or a shadow with the person."""
    if not _SMALLEST <= mask.mean() <= _LARGEST:
        raise CannotCutOut(f"the person is {100 * mask.mean():.0f} % of the photo")
    depth = _depth(mask)
    faint = float((difference[(depth > 2) & (depth <= 4)] < 2 * tolerance).mean())
    if faint > _MOST_FAINT:
        raise CannotCutOut(f"{100 * faint:.0f} % of the outline is hardly seen")


def _largest(mask: Mask) -> Mask:
    """The largest part of `mask`. Raises CannotCutOut when another is not small beside it."""
    from scipy.ndimage import label

    parts, count = label(mask)
    if not count:
        raise CannotCutOut("nobody stands out against the backdrop")
    sizes = np.bincount(parts.ravel())[1:]
    if count > 1 and np.sort(sizes)[-2] > _LARGEST_PIECE * sizes.max():
        raise CannotCutOut("the person falls into pieces")
    return np.asarray(parts == 1 + sizes.argmax())


def _filled(mask: Mask) -> Mask:
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask))


def _opened(mask: Mask) -> Mask:
    """`mask` without what is narrower than three pixels."""
    from scipy.ndimage import binary_opening

    return _bordered(lambda wide: binary_opening(wide, np.ones((3, 3), dtype=np.bool_)), mask)


def _depth(mask: Mask) -> Floats:
    """How far each pixel of `mask` is from the nearest that is not; the border of the photo is no edge."""
    from scipy.ndimage import distance_transform_edt

    return _bordered(distance_transform_edt, mask)


def _bordered(work: Callable[[Mask], NDArray[Any]], mask: Mask) -> NDArray[Any]:
    """What `work` gives for `mask` continued beyond the border."""
    return work(np.pad(mask, _BORDER_PX, mode="edge"))[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]
