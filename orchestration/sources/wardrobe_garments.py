"""Garments of the rendered wardrobe: what they are made of, and the cloth that carries their print.

A garment is attributes that many garments share (colour, print, sleeve, ...) and continuous quantities that
are its own (exact shades, scale, angle and offset of the print, cut). Nothing here knows of people or photos.

Geometry is in body units (one is about the height of a head), `(x, y)` with y down, the base of the neck at
the origin and the person in the rest pose; `wardrobe_figures` moves it into other poses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour: TypeAlias = tuple[int, int, int]
Field: TypeAlias = NDArray[np.floating[Any]]
Points: TypeAlias = NDArray[np.float64]

CATEGORIES: Final = ("blazer", "dress", "jumper", "shirt", "skirt", "trousers", "t-shirt", "top")
CATEGORY_SHARES: Final = (0.05, 0.2, 0.09, 0.1, 0.18, 0.18, 0.11, 0.09)
BOTTOMS: Final = frozenset({"skirt", "trousers"})

COLOURS: Final[dict[str, Colour]] = {
    "black": (28, 27, 30),
    "white": (240, 238, 232),
    "navy": (24, 36, 112),
    "blue": (30, 104, 222),
    "turquoise": (30, 190, 186),
    "green": (20, 138, 52),
    "lime": (150, 212, 40),
    "yellow": (246, 208, 24),
    "orange": (244, 116, 18),
    "red": (214, 22, 30),
    "pink": (246, 112, 176),
    "purple": (124, 38, 168),
    "brown": (116, 62, 26),
}
PRINTS: Final = ("plain", "stripes", "checks", "dots", "floral", "chevron", "graphic", "colourblock")
PRINT_SHARES: Final = (0.04, 0.17, 0.13, 0.13, 0.13, 0.13, 0.13, 0.14)
PRINT_WORDS: Final = {
    "plain": "plain",
    "stripes": "striped",
    "checks": "checked",
    "dots": "dotted",
    "floral": "floral",
    "chevron": "zigzag",
    "graphic": "graphic",
    "colourblock": "colour-block",
}
MATERIALS: Final = ("cotton", "rib", "twill")

SHOULDER: Final = (0.78, 0.26)
WAIST_Y: Final = 1.62
CROTCH_Y: Final = 2.75
REST_ARM: Final = 0.30
UPPER_ARM: Final = 1.0
FOREARM: Final = 0.95
CLOTH_SCALE: Final = 36
CLOTH_ORIGIN: Final = (-1.75, -0.45)
CLOTH_WIDTH: Final = 3.5


@dataclass(frozen=True)
class Garment:
    """One article of the wardrobe, with all that is needed to draw it the same way in every picture."""

    article_id: str
    name: str
    category: str
    attributes: dict[str, str]
    shades: tuple[Colour, Colour, Colour]
    """Exact ground, print and accent colours, 8-bit RGB."""
    print_scale: float
    """Size of one repeat of the print, body units."""
    print_angle: float
    """Radians, clockwise."""
    print_offset: tuple[float, float]
    """Phase of the print, fractions of a repeat in [0, 1)."""
    motif: int
    """Which emblem, how many petals, which blocks: a small number in 0..5."""
    ease: float
    """Width of the body of the garment, relative to the person's."""
    flare: float
    """Width at the hem, relative to the cut of the category."""
    hem_y: float
    """Where the garment ends, body units below the neck."""
    sleeve: float
    """Length of the sleeve as a fraction of the arm, 0 for none."""
    sleeve_width: float
    """Half the width of the sleeve at the shoulder, body units."""


def make_garment(seed: int, index: int) -> Garment:
    """Draw garment `index` of the wardrobe `seed`: always the same one, whatever else was drawn."""
    rng = np.random.default_rng([seed, 1, index])
    category = str(rng.choice(CATEGORIES, p=CATEGORY_SHARES))
    print_name = str(rng.choice(PRINTS, p=PRINT_SHARES))
    names = [str(name) for name in rng.choice(list(COLOURS), size=3, replace=False)]
    sleeve, sleeve_length = _choose_sleeve(category, rng)
    length, hem_y = _choose_length(category, rng)
    attributes = {
        "colour": names[0],
        "print": print_name,
        "print_colour": "none" if print_name == "plain" else names[1],
        "trim_colour": names[2],
        "material": str(rng.choice(MATERIALS)),
    }
    attributes |= {"sleeve": sleeve} if category not in BOTTOMS else {}
    attributes |= {"neckline": _choose_neckline(category, rng)} if category not in BOTTOMS else {}
    attributes |= {"length": length} if length else {}
    return Garment(
        article_id=f"w{seed}-{index:06d}",
        name=" ".join(word for word in (names[0].capitalize(), PRINT_WORDS[print_name], length, category) if word),
        category=category,
        attributes=attributes,
        shades=(_exact_shade(names[0], rng), _exact_shade(names[1], rng), _exact_shade(names[2], rng)),
        print_scale=float(np.exp(rng.uniform(np.log(0.34), np.log(0.85)))),
        print_angle=float(rng.choice((0.0, np.pi / 4, np.pi / 2, -np.pi / 4)) + rng.normal(0.0, 0.08)),
        print_offset=(float(rng.random()), float(rng.random())),
        motif=int(rng.integers(6)),
        ease=float(rng.uniform(0.96, 1.18)),
        flare=float(rng.uniform(0.9, 1.25)),
        hem_y=hem_y,
        sleeve=sleeve_length,
        sleeve_width=float(rng.uniform(0.22, 0.3)),
    )


def _choose_sleeve(category: str, rng: np.random.Generator) -> tuple[str, float]:
    choices = {
        "blazer": ("long",),
        "dress": ("none", "short", "long"),
        "jumper": ("long",),
        "shirt": ("short", "long"),
        "t-shirt": ("short",),
        "top": ("none",),
    }.get(category, ("none",))
    name = str(rng.choice(choices))
    lengths = {"none": (0.0, 0.0), "short": (0.28, 0.42), "long": (0.86, 0.97)}
    return name, float(rng.uniform(*lengths[name]))


def _choose_length(category: str, rng: np.random.Generator) -> tuple[str, float]:
    """The name of the length, empty where the category has only one, and the hem in body units."""
    names = {
        "dress": ("short", "knee", "long"),
        "skirt": ("short", "knee", "long"),
        "trousers": ("short", "long"),
    }
    hems = {"short": (3.15, 3.45), "knee": (3.8, 4.1), "long": (4.75, 5.1)}
    if category in names:
        name = str(rng.choice(names[category], p=(0.3, 0.7) if category == "trousers" else None))
        return name, float(rng.uniform(*hems[name]))
    hem = {"blazer": 2.75, "top": 2.1, "shirt": 2.5}.get(category, 2.35)
    return "", hem + float(rng.uniform(-0.15, 0.2))


def _choose_neckline(category: str, rng: np.random.Generator) -> str:
    if category == "blazer":
        return "lapels"
    if category == "shirt":
        return "collar"
    return str(rng.choice(("round", "v", "polo" if category in ("jumper", "t-shirt") else "square")))


def _exact_shade(name: str, rng: np.random.Generator) -> Colour:
    jitter = rng.uniform(0.94, 1.06) * np.asarray(COLOURS[name]) + rng.uniform(-8, 8, size=3)
    red, green, blue = np.clip(jitter, 12, 247).astype(int).tolist()
    return red, green, blue


def render_cloth(garment: Garment, side: Literal["front", "back"]) -> Image.Image:
    """Draw the cloth laid flat in the rest pose: RGB, `CLOTH_SCALE` pixels a body unit from `CLOTH_ORIGIN`.

    The print covers the whole sheet; the outlines in `wardrobe_figures` cut the garment out of it.
    """
    width = round(CLOTH_WIDTH * CLOTH_SCALE)
    height = round((max(garment.hem_y, 2.4) + 0.4 - CLOTH_ORIGIN[1]) * CLOTH_SCALE)
    x = np.arange(width, dtype=np.float32)[None, :] / CLOTH_SCALE + CLOTH_ORIGIN[0]
    y = np.arange(height, dtype=np.float32)[:, None] / CLOTH_SCALE + CLOTH_ORIGIN[1]
    layers = np.asarray(garment.shades, dtype=np.float32)
    pattern = _PATTERNS.get(garment.attributes["print"], _pattern_plain)
    sheet = layers[pattern(garment, x, y)]
    sheet *= _weave(garment.attributes["material"], x, y)[..., None]
    image = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8))
    _draw_details(ImageDraw.Draw(image), garment, side)
    return image


Indices: TypeAlias = NDArray[np.uint8]


def _print_axes(garment: Garment, x: Field, y: Field) -> tuple[Field, Field]:
    """Coordinates along and across the print, in repeats; both `(H, W)` float32."""
    cosine, sine = np.float32(np.cos(garment.print_angle)), np.float32(np.sin(garment.print_angle))
    scale = np.float32(1.0 / garment.print_scale)
    u = (x * cosine + y * sine) * scale + np.float32(garment.print_offset[0])
    v = (y * cosine - x * sine) * scale + np.float32(garment.print_offset[1])
    return u, v


def _pattern_plain(garment: Garment, x: Field, y: Field) -> Indices:
    return np.zeros((y.shape[0], x.shape[1]), dtype=np.uint8)


def _pattern_stripes(garment: Garment, x: Field, y: Field) -> Indices:
    u, _ = _print_axes(garment, x, y)
    phase = u % 1.0
    stripes: Indices = (phase < 0.45).astype(np.uint8)
    stripes[(phase > 0.66) & (phase < 0.66 + 0.04 * garment.motif)] = 2
    return stripes


def _pattern_checks(garment: Garment, x: Field, y: Field) -> Indices:
    u, v = _print_axes(garment, x, y)
    bands: Indices = (u % 1.0 < 0.45).astype(np.uint8) ^ (v % 1.0 < 0.45).astype(np.uint8)
    if garment.motif % 2:
        bands[(np.abs(u % 1.0 - 0.72) < 0.07) | (np.abs(v % 1.0 - 0.72) < 0.07)] = 2
    return bands


def _pattern_dots(garment: Garment, x: Field, y: Field) -> Indices:
    u, v = _print_axes(garment, x, y)
    u = u + np.float32(0.5) * (np.floor(v) % 2)
    distance = np.hypot(u % 1.0 - 0.5, v % 1.0 - 0.5)
    radius = 0.26 + 0.025 * garment.motif
    dots: Indices = (distance < radius).astype(np.uint8)
    if garment.motif % 2:
        dots[distance < radius * 0.5] = 2
    return dots


def _pattern_floral(garment: Garment, x: Field, y: Field) -> Indices:
    u, v = _print_axes(garment, x, y)
    u = u + np.float32(0.5) * (np.floor(v) % 2)
    du, dv = u % 1.0 - 0.5, v % 1.0 - 0.5
    distance, angle = np.hypot(du, dv), np.arctan2(dv, du)
    petals = 0.31 + 0.15 * np.cos((3 + garment.motif) * angle)
    flowers: Indices = (distance < petals).astype(np.uint8)
    flowers[distance < 0.14] = 2
    return flowers


def _pattern_chevron(garment: Garment, x: Field, y: Field) -> Indices:
    u, v = _print_axes(garment, x, y)
    phase = (v + np.float32(0.25 + 0.12 * garment.motif) * np.abs((u % 1.0) * 2 - 1)) % 1.0
    zigzag: Indices = (phase < 0.5).astype(np.uint8)
    if garment.motif % 2:
        zigzag[(phase > 0.62) & (phase < 0.8)] = 2
    return zigzag


def _pattern_colourblock(garment: Garment, x: Field, y: Field) -> Indices:
    top, bottom = (WAIST_Y, garment.hem_y) if garment.category in BOTTOMS else (0.0, garment.hem_y)
    middle = top + (0.35 + 0.3 * garment.print_offset[0]) * (bottom - top)
    tilt = np.float32((0.0, 0.5, -0.5, 0.0, 1.2, -1.2)[garment.motif])
    line = y - np.float32(middle) + tilt * x
    blocks: Indices = (line > 0).astype(np.uint8)
    if garment.motif in (0, 1, 2):
        blocks[np.abs(line) < 0.1 + 0.25 * garment.print_offset[1]] = 2
    if garment.motif == 3:
        halves: Indices = (np.broadcast_to(x > 0, blocks.shape) ^ (line > 0)).astype(np.uint8)
        return halves
    return blocks


_PATTERNS: Final[dict[str, Callable[[Garment, Field, Field], Indices]]] = {
    "stripes": _pattern_stripes,
    "checks": _pattern_checks,
    "dots": _pattern_dots,
    "floral": _pattern_floral,
    "chevron": _pattern_chevron,
    "colourblock": _pattern_colourblock,
}


def _weave(material: str, x: Field, y: Field) -> Field:
    """Brightness of the thread, `(H, W)` or broadcastable to it, float32 around 1."""
    if material == "rib":
        ribs: Field = (1.0 + 0.07 * np.sin(x * 48) + 0 * y).astype(np.float32)
        return ribs
    if material == "twill":
        diagonals: Field = (1.0 + 0.06 * np.sin((x + y) * 40)).astype(np.float32)
        return diagonals
    return np.ones((y.shape[0], x.shape[1]), dtype=np.float32)


def to_sheet(points: Points) -> list[tuple[float, float]]:
    """Points in body units, `(N, 2)`, as pixel positions on the sheet of cloth."""
    moved = (points - np.asarray(CLOTH_ORIGIN)) * CLOTH_SCALE
    return [(float(x), float(y)) for x, y in moved]


def _draw_details(draw: ImageDraw.ImageDraw, garment: Garment, side: str) -> None:
    """Trim, closure, collar and emblem, on the flat cloth; `side` "back" has the trim only."""
    accent = garment.shades[2]
    if garment.category in BOTTOMS:
        draw.rectangle(_box(-1.75, WAIST_Y - 0.3, 1.75, WAIST_Y + 0.16), fill=accent)
    draw.rectangle(_box(-0.95, garment.hem_y - 0.2, 0.95, garment.hem_y + 1.0), fill=accent)
    if garment.category in BOTTOMS or garment.category == "dress":
        draw.rectangle(_box(-1.75, garment.hem_y - 0.2, 1.75, garment.hem_y + 1.0), fill=accent)
    _draw_cuffs(draw, garment)
    if side == "front":
        _draw_front(draw, garment)
    if garment.attributes["print"] == "graphic":
        for centre in _emblem_centres(garment, side):
            _draw_emblem(draw, garment, centre)


def _draw_front(draw: ImageDraw.ImageDraw, garment: Garment) -> None:
    accent = garment.shades[2]
    neckline = garment.attributes.get("neckline")
    if neckline in ("collar", "lapels"):
        reach = 0.62 if neckline == "collar" else 1.4
        for mirror in (-1, 1):
            lapel = np.asarray([(0.2, -0.2), (0.52, 0.05), (0.46, reach * 0.62), (0.05, reach), (0.0, 0.3)])
            draw.polygon(to_sheet(lapel * (mirror, 1)), fill=accent)
    if neckline == "collar":
        draw.rectangle(_box(-0.07, 0.35, 0.07, garment.hem_y), fill=accent)
        for y in np.arange(0.55, garment.hem_y - 0.2, 0.36):
            draw.ellipse(_box(-0.045, y - 0.045, 0.045, y + 0.045), fill=garment.shades[0])
    if neckline in ("round", "v", "square", "polo"):
        draw.line(to_sheet(neckline_path(neckline)), fill=accent, width=9, joint="curve")


def _draw_cuffs(draw: ImageDraw.ImageDraw, garment: Garment) -> None:
    if garment.sleeve == 0:
        return
    for mirror in (-1, 1):
        along = np.asarray((mirror * np.sin(REST_ARM), np.cos(REST_ARM)))
        across = np.asarray((along[1], -along[0])) * 0.5
        start = np.asarray((mirror * SHOULDER[0], SHOULDER[1])) + along * (
            garment.sleeve * (UPPER_ARM + FOREARM) - 0.24
        )
        end = start + along * 0.6
        corners = np.asarray([start - across, start + across, end + across, end - across])
        draw.polygon(to_sheet(corners), fill=garment.shades[2])


def neckline_path(neckline: str) -> Points:
    """The cut of the neck from the left to the right shoulder, `(N, 2)` body units."""
    paths = {
        "v": [(-0.34, -0.03), (0.0, 0.62), (0.34, -0.03)],
        "square": [(-0.42, -0.01), (-0.38, 0.36), (0.38, 0.36), (0.42, -0.01)],
        "polo": [(-0.24, -0.2), (0.0, -0.16), (0.24, -0.2)],
        "collar": [(-0.26, -0.08), (0.0, 0.3), (0.26, -0.08)],
        "back": [(-0.28, -0.06), (0.0, 0.02), (0.28, -0.06)],
    }
    if neckline in paths:
        return np.asarray(paths[neckline])
    turn = np.linspace(np.pi, 0.0, 9)
    return np.stack([0.34 * np.cos(turn), -0.03 + 0.3 * np.sin(turn)], axis=1)


def _emblem_centres(garment: Garment, side: str) -> list[tuple[float, float]]:
    if garment.category == "trousers":
        return [(-0.42, 2.7), (0.42, 2.7), (-0.42, 4.0), (0.42, 4.0)]
    if garment.category == "skirt":
        return [(0.0, WAIST_Y + 0.5 * (min(garment.hem_y, 3.7) - WAIST_Y))]
    if garment.category == "blazer" and side == "front":
        return [(-0.62, 1.7), (0.62, 1.7)]
    return [(0.0, 1.15)] + ([(0.0, 2.6)] if garment.category == "dress" else [])


def _draw_emblem(draw: ImageDraw.ImageDraw, garment: Garment, centre: tuple[float, float]) -> None:
    """A large star, disc, diamond, bar, ring or cross, by `motif`."""
    radius = (0.32 + 0.35 * garment.print_scale) * (0.75 if garment.category in ("trousers", "blazer") else 1.15)
    spikes = (5, 24, 2, 3, 24, 4)[garment.motif]
    inner = (0.45, 0.97, 0.6, 0.5, 0.97, 0.35)[garment.motif]
    turn = np.arange(2 * spikes) * np.pi / spikes - np.pi / 2 + garment.print_angle * 0.3
    reach = radius * np.where(np.arange(2 * spikes) % 2, inner, 1.0)
    outline = np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach[:, None]
    draw.polygon(to_sheet(outline + centre), fill=garment.shades[1])
    if garment.motif != 1:
        draw.polygon(to_sheet(outline * 0.5 + centre), fill=garment.shades[2])


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return to_sheet(np.asarray([(left, top), (right, bottom)]))
