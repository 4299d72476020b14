"""People of the rendered wardrobe: poses, and the outlines of bodies and garments in them.

Every outline is given in the rest pose (body units, see `wardrobe_garments`) together with the frame that
moves it into the pose. The frame moves the cloth with it, which is why a print stays on its garment whatever
the arms and legs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestration.sources.wardrobe_garments import (
    CROTCH_Y,
    FOREARM,
    REST_ARM,
    SHOULDER,
    UPPER_ARM,
    WAIST_Y,
    Colour,
    Garment,
    Points,
    neckline_path,
)

Frame: TypeAlias = NDArray[np.float64]
"""A 3 x 3 affine matrix on `(x, y, 1)`."""

HIP: Final = (0.38, 2.35)
THIGH: Final = 1.5
SHIN: Final = 1.45
REST_LEG: Final = 0.05
LEAN_CENTRE: Final = (0.0, 2.4)
MIRRORS: Final = (-1, 1)


@dataclass(frozen=True)
class Pose:
    """Angles in radians, outwards from straight down; left (in the picture) before right."""

    arms: tuple[tuple[float, float], tuple[float, float]]
    """(upper arm, forearm) of each side."""
    legs: tuple[tuple[float, float], tuple[float, float]]
    """(thigh, shin) of each side."""
    lean: float = 0.0
    sway: float = 0.0
    """Shear of skirts: how far the hem moves aside for each unit below the waist."""
    back: bool = False


@dataclass(frozen=True)
class Piece:
    """A closed outline of one material, and the frame that puts it in place."""

    outline: Points
    """(N, 2) float64, body units in the rest pose."""
    frame: Frame
    colour: Colour
    """8-bit RGB, used where there is no cloth."""
    cloth: Image.Image | None = None


@dataclass(frozen=True)
class Frames:
    """Where a pose takes each part of the body."""

    torso: Frame
    pelvis: Frame
    skirt: Frame
    upper_arms: tuple[Frame, Frame]
    forearms: tuple[Frame, Frame]
    thighs: tuple[Frame, Frame]
    shins: tuple[Frame, Frame]


LAID_FLAT: Final = Pose(arms=((0.42, 0.38), (0.42, 0.38)), legs=((0.1, 0.08), (0.1, 0.08)))


def rotation_about(point: Sequence[float], angle: float) -> Frame:
    """The rotation by `angle` radians (clockwise on screen) that leaves `point` in place."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = point
    return np.asarray(
        [
            [cosine, -sine, x - cosine * x + sine * y],
            [sine, cosine, y - sine * x - cosine * y],
            [0.0, 0.0, 1.0],
        ]
    )


def along(start: Sequence[float], angle: float, length: float, mirror: int) -> tuple[float, float]:
    """The point `length` from `start`, `angle` outwards from straight down on the side `mirror` (-1 or 1)."""
    return float(start[0] + mirror * np.sin(angle) * length), float(start[1] + np.cos(angle) * length)


def shoulder(mirror: int) -> tuple[float, float]:
    """Rest position of a shoulder joint."""
    return mirror * SHOULDER[0], SHOULDER[1]


def elbow(mirror: int) -> tuple[float, float]:
    """Rest position of an elbow."""
    return along(shoulder(mirror), REST_ARM, UPPER_ARM, mirror)


def hip(mirror: int) -> tuple[float, float]:
    """Rest position of a hip joint."""
    return mirror * HIP[0], HIP[1]


def knee(mirror: int) -> tuple[float, float]:
    """Rest position of a knee."""
    return along(hip(mirror), REST_LEG, THIGH, mirror)


def ankle(mirror: int) -> tuple[float, float]:
    """Rest position of an ankle."""
    return along(knee(mirror), REST_LEG, SHIN, mirror)


def frames_of(pose: Pose) -> Frames:
    """Work out where `pose` takes each part of the body."""
    torso = rotation_about(LEAN_CENTRE, pose.lean)
    skirt = np.asarray([[1.0, pose.sway, -pose.sway * WAIST_Y], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    upper_arms, forearms, thighs, shins = [], [], [], []
    for mirror, arm, leg in zip(MIRRORS, pose.arms, pose.legs, strict=True):
        upper_arms.append(torso @ rotation_about(shoulder(mirror), mirror * (REST_ARM - arm[0])))
        forearms.append(upper_arms[-1] @ rotation_about(elbow(mirror), mirror * (arm[0] - arm[1])))
        thighs.append(rotation_about(hip(mirror), mirror * (REST_LEG - leg[0])))
        shins.append(thighs[-1] @ rotation_about(knee(mirror), mirror * (leg[0] - leg[1])))
    return Frames(
        torso=torso,
        pelvis=rotation_about(LEAN_CENTRE, 0.5 * pose.lean),
        skirt=rotation_about(LEAN_CENTRE, 0.5 * pose.lean) @ skirt,
        upper_arms=(upper_arms[0], upper_arms[1]),
        forearms=(forearms[0], forearms[1]),
        thighs=(thighs[0], thighs[1]),
        shins=(shins[0], shins[1]),
    )


def limb(start: Sequence[float], end: Sequence[float], start_radius: float, end_radius: float) -> Points:
    """A tapered limb with round ends, `(14, 2)` body units."""
    first, last = np.asarray(start), np.asarray(end)
    heading = float(np.arctan2(last[1] - first[1], last[0] - first[0]))
    turn = np.linspace(-np.pi / 2, np.pi / 2, 7)
    far, near = _circle(heading + turn), _circle(heading + np.pi + turn)
    return np.concatenate([last + end_radius * far, first + start_radius * near])


def _circle(angle: NDArray[np.float64]) -> Points:
    """The points of the unit circle at `angle` (N,): (N, 2)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(centre: Sequence[float], radii: Sequence[float]) -> Points:
    """An ellipse, `(20, 2)` body units."""
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    points: Points = np.asarray(centre) + _circle(turn) * np.asarray(radii)
    return points


def _mirrored(right: Sequence[tuple[float, float]]) -> Points:
    """Close an outline from its right half, given from top to bottom."""
    half = np.asarray(right)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def body_pieces(frames: Frames, skin: Colour, shoes: Colour) -> list[Piece]:
    """Trunk, legs and shoes; the arms and the head come later, over the clothes."""
    trunk = _mirrored(
        [
            (0.2, -0.4),
            (0.2, -0.02),
            (0.7, 0.1),
            (0.86, 0.3),
            (0.7, 0.8),
            (0.6, WAIST_Y),
            (0.74, 2.4),
            (0.3, 2.7),
        ]
    )
    pieces = []
    for side, mirror in enumerate(MIRRORS):
        foot = limb(ankle(mirror), along(ankle(mirror), 0.5, 0.24, mirror), 0.15, 0.15)
        pieces += [
            Piece(limb(hip(mirror), knee(mirror), 0.35, 0.22), frames.thighs[side], skin),
            Piece(limb(knee(mirror), ankle(mirror), 0.22, 0.13), frames.shins[side], skin),
            Piece(foot, frames.shins[side], shoes),
        ]
    return [*pieces, Piece(trunk, frames.torso, skin)]


def arm_pieces(frames: Frames, skin: Colour) -> list[Piece]:
    """Both bare arms, hands included."""
    arms: list[Piece] = []
    for side, mirror in enumerate(MIRRORS):
        wrist = along(elbow(mirror), REST_ARM, FOREARM, mirror)
        fingers = along(wrist, REST_ARM, 0.16, mirror)
        arms += [
            Piece(limb(shoulder(mirror), elbow(mirror), 0.19, 0.15), frames.upper_arms[side], skin),
            Piece(limb(elbow(mirror), wrist, 0.15, 0.1), frames.forearms[side], skin),
            Piece(limb(wrist, fingers, 0.11, 0.1), frames.forearms[side], skin),
        ]
    return arms


def garment_pieces(garment: Garment, cloth: Image.Image, pose: Pose, frames: Frames, opening: float) -> list[Piece]:
    """The garment without its sleeves; `opening` is half the gap of a blazer at the waist, body units."""
    inside: Colour = tuple(int(0.55 * channel) for channel in garment.shades[0])  # type: ignore[assignment]
    if garment.category == "trousers":
        return _trouser_pieces(garment, frames, cloth)
    if garment.category == "skirt":
        return [Piece(_skirt_outline(garment), frames.skirt, inside, cloth)]
    if garment.category == "blazer" and not pose.back:
        return [
            Piece(_panel_outline(garment, opening) * (mirror, 1), frames.torso, inside, cloth) for mirror in MIRRORS
        ]
    neck = neckline_path("back" if pose.back else garment.attributes["neckline"])
    torso = _torso_outline(garment, neck)
    pieces = [Piece(torso, frames.torso, inside, cloth)]
    if garment.category == "dress":
        pieces.insert(0, Piece(_skirt_outline(garment), frames.skirt, inside, cloth))
    return pieces


def lining_piece(garment: Garment, frames: Frames) -> Piece:
    """The inside of the back, seen through the neck of a garment laid flat."""
    inside: Colour = tuple(int(0.55 * channel) for channel in garment.shades[0])  # type: ignore[assignment]
    return Piece(_torso_outline(garment, neckline_path("back")), frames.torso, inside)


def sleeve_pieces(garment: Garment, cloth: Image.Image, frames: Frames) -> list[Piece]:
    """Both sleeves, empty where the garment has none."""
    if garment.sleeve == 0:
        return []
    reach = garment.sleeve * (UPPER_ARM + FOREARM)
    top, end = garment.sleeve_width, 0.72 * garment.sleeve_width
    sleeves: list[Piece] = []
    for side, mirror in enumerate(MIRRORS):
        upper_end = along(shoulder(mirror), REST_ARM, min(reach, UPPER_ARM), mirror)
        upper = Piece(limb(shoulder(mirror), upper_end, top, end), frames.upper_arms[side], garment.shades[0], cloth)
        sleeves.append(upper)
        if reach > UPPER_ARM:
            wrist = along(elbow(mirror), REST_ARM, reach - UPPER_ARM, mirror)
            lower = limb(elbow(mirror), wrist, end, 0.75 * end)
            sleeves.append(Piece(lower, frames.forearms[side], garment.shades[0], cloth))
    return sleeves


def _torso_outline(garment: Garment, neck: Points) -> Points:
    """Outline of the part above the hem (above the waist for a dress), with the cut of the neck."""
    ease, shoulder_x = garment.ease, 0.62 if garment.sleeve == 0 else 0.84
    waist = (0.67 if garment.category != "dress" else 0.63) * ease
    right = [(shoulder_x, 0.1), (shoulder_x + 0.04, 0.35), (0.76 * ease, 0.8), (waist, WAIST_Y)]
    if garment.category != "dress":
        right += [(0.76 * ease * (0.6 + 0.4 * garment.flare), garment.hem_y)]
    left = [(-x, y) for x, y in reversed(right)]
    return np.concatenate([neck, np.asarray(right), np.asarray(left)])


def _panel_outline(garment: Garment, opening: float) -> Points:
    """The right front of a blazer."""
    ease = garment.ease * 1.06
    return np.asarray(
        [
            (0.26, -0.08),
            (0.9, 0.08),
            (0.92, 0.35),
            (0.8 * ease, 0.8),
            (0.7 * ease, WAIST_Y),
            (0.84 * ease, garment.hem_y),
            (opening * 1.3 + 0.02, garment.hem_y),
            (opening, 1.45),
            (0.16 + 0.5 * opening, 0.4),
        ]
    )


def _skirt_outline(garment: Garment) -> Points:
    half = (0.72 + 0.28 * garment.flare * (garment.hem_y - WAIST_Y) ** 0.75) * garment.ease
    bend = WAIST_Y + 0.4 * (garment.hem_y - WAIST_Y)
    waist = 0.63 * garment.ease
    return _mirrored([(waist, WAIST_Y - 0.08), (0.55 * waist + 0.5 * half, bend), (half, garment.hem_y)])


def _trouser_pieces(garment: Garment, frames: Frames, cloth: Image.Image) -> list[Piece]:
    """Two legs, each of a thigh and perhaps a shin, and the seat over them."""
    ground, ease, flare = garment.shades[0], garment.ease, garment.flare
    pieces = []
    reach = garment.hem_y - HIP[1]
    for side, mirror in enumerate(MIRRORS):
        middle = along(hip(mirror), REST_LEG, min(reach, THIGH), mirror)
        thigh = limb(hip(mirror), middle, 0.4 * ease, 0.31 * ease)
        pieces.append(Piece(thigh, frames.thighs[side], ground, cloth))
        if reach > THIGH:
            hem = along(middle, REST_LEG, reach - THIGH, mirror)
            shin = limb(middle, hem, 0.31 * ease, 0.27 * ease * flare)
            pieces.append(Piece(shin, frames.shins[side], ground, cloth))
    seat = _mirrored([(0.62 * ease, WAIST_Y), (0.78 * ease, 2.35), (0.62, CROTCH_Y), (0.05, CROTCH_Y)])
    return [*pieces, Piece(seat, frames.pelvis, ground, cloth)]
