"""Photos of the rendered wardrobe: a canvas that knows who owns each pixel, places, light and the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from orchestration.sources.wardrobe_figures import (
    LAID_FLAT,
    Frame,
    Frames,
    Piece,
    Pose,
    arm_pieces,
    body_pieces,
    ellipse,
    frames_of,
    garment_pieces,
    limb,
    lining_piece,
    rotation_about,
    sleeve_pieces,
)
from orchestration.sources.wardrobe_garments import (
    BOTTOMS,
    CLOTH_ORIGIN,
    CLOTH_SCALE,
    Colour,
    Garment,
    render_cloth,
)

Domain: TypeAlias = Literal["street", "studio"]
Picture: TypeAlias = NDArray[np.uint8]
Box: TypeAlias = tuple[int, int, int, int]

SKINS: Final[tuple[Colour, ...]] = (
    (250, 220, 196),
    (236, 196, 164),
    (218, 170, 132),
    (190, 138, 98),
    (150, 102, 70),
    (108, 70, 48),
    (78, 50, 36),
)
HAIRS: Final[tuple[Colour, ...]] = (
    (34, 26, 24),
    (74, 48, 32),
    (128, 84, 48),
    (206, 166, 96),
    (150, 62, 32),
    (150, 150, 152),
)
BAGS: Final[tuple[Colour, ...]] = (
    (40, 36, 36),
    (92, 62, 42),
    (168, 128, 88),
    (196, 190, 180),
    (96, 100, 104),
)
PERSON: Final = 1
FIRST_GARMENT: Final = 2
VISIBLE_SHARE: Final = 0.006
"""Least share of the photo a garment must fill to count as visibly worn."""
CLOTH_TO_SHEET: Final = np.asarray(
    [
        [CLOTH_SCALE, 0.0, -CLOTH_ORIGIN[0] * CLOTH_SCALE],
        [0.0, CLOTH_SCALE, -CLOTH_ORIGIN[1] * CLOTH_SCALE],
        [0.0, 0.0, 1.0],
    ]
)


@dataclass(frozen=True)
class Scene:
    """A photo of a person in an outfit, with what is known about it."""

    photo_id: str
    domain: Domain
    picture: Picture
    """(H, W, 3) uint8 RGB."""
    mask: NDArray[np.bool_]
    """(H, W), true on the person: body, clothes, hair and what they carry."""
    worn: tuple[tuple[str, Box], ...]
    """The visibly worn garments: article id and (top, left, bottom, right) in pixels, end exclusive."""


class Canvas:
    """A picture in the making and the owner of each pixel: 0 the background, `PERSON`, or a garment's number."""

    def __init__(self, background: Image.Image, view: Frame) -> None:
        """Paint on `background` (RGB), where `view` takes body units to pixels."""
        self.image = background
        self.owners = Image.new("L", background.size, 0)
        self.view = view

    def paint(self, piece: Piece, owner: int) -> None:
        """Paint one piece, antialiased, over a soft shadow of itself."""
        placed = self.view @ piece.frame
        outline = piece.outline @ placed[:2, :2].T + placed[:2, 2]
        left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 3, 0).tolist()
        right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 4, self.image.size).tolist()
        if right <= left or bottom <= top:
            return
        size = (right - left, bottom - top)
        stencil = Image.new("L", (2 * size[0], 2 * size[1]), 0)
        corners = (outline - (left, top)) * 2
        ImageDraw.Draw(stencil).polygon([(x, y) for x, y in corners.tolist()], fill=255)
        stencil = stencil.reduce(2)
        shadow = Image.blend(Image.new("L", size, 0), stencil.filter(ImageFilter.BoxBlur(1.6)), 0.4)
        self.image.paste((14, 12, 18), (left, top), shadow)
        self.image.paste(self._filling(piece, placed, left, top, size), (left, top), stencil)
        self.owners.paste(owner, (left, top), stencil.convert("1", dither=Image.Dither.NONE))

    def _filling(self, piece: Piece, placed: Frame, left: int, top: int, size: tuple[int, int]) -> Image.Image | Colour:
        if piece.cloth is None:
            return piece.colour
        from_pixels = CLOTH_TO_SHEET @ np.linalg.inv(placed)
        from_pixels[:, 2] += from_pixels[:, 0] * left + from_pixels[:, 1] * top
        coefficients = tuple(from_pixels[:2].ravel().tolist())
        return piece.cloth.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def render_packshot(garment: Garment, seed: int, view: int, size: tuple[int, int]) -> Picture:
    """Render the garment alone, laid flat on near-white: `(H, W, 3)` uint8 RGB for `size` (height, width).

    `view` 0 is the front and any other number a picture of the back; the picture depends on nothing but the
    arguments.
    """
    rng = np.random.default_rng([seed, 2, view, *garment.article_id.encode()])
    height, width = size
    pose = Pose(arms=LAID_FLAT.arms, legs=LAID_FLAT.legs, back=view != 0)
    frames = frames_of(pose)
    cloth = render_cloth(garment, "back" if pose.back else "front")
    pieces = sleeve_pieces(garment, cloth, frames)
    body = garment_pieces(garment, cloth, pose, frames, opening=0.02)
    if garment.category not in BOTTOMS and view == 0:
        pieces.insert(0, lining_piece(garment, frames))
    pieces += body
    paper = tuple(int(channel) for channel in 255 - rng.uniform(0, 10) - rng.uniform(0, 4, size=3))
    canvas = Canvas(Image.new("RGB", (width, height), paper), _fit(pieces, rng, height, width))
    for piece in pieces:
        canvas.paint(piece, PERSON)
    picture = np.asarray(canvas.image, dtype=np.float32)
    folds = _folds(rng, height, width, strength=0.05)
    worn = np.asarray(canvas.owners)[..., None] > 0
    return np.clip(np.where(worn, picture * folds[..., None], picture), 0, 255).astype(np.uint8)


def _fit(pieces: Sequence[Piece], rng: np.random.Generator, height: int, width: int) -> Frame:
    """The view that shows all pieces, nearly filling the picture."""
    points = np.concatenate([piece.outline @ piece.frame[:2, :2].T + piece.frame[:2, 2] for piece in pieces])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = rng.uniform(0.84, 0.93) * float(np.min(np.asarray((width, height)) / (high - low)))
    return _view((low + high) / 2, scale, scale, rng.normal(0, 0.03), width / 2, height / 2)


def _view(centre: NDArray[np.float64], scale_x: float, scale_y: float, roll: float, x: float, y: float) -> Frame:
    """The view that shows `centre` (body units) at pixel `(x, y)`."""
    scaled = np.asarray(
        [[scale_x, 0.0, x - scale_x * centre[0]], [0.0, scale_y, y - scale_y * centre[1]], [0.0, 0.0, 1.0]]
    )
    view: Frame = rotation_about((x, y), roll) @ scaled
    return view


def render_scene(outfit: Sequence[Garment], seed: int, index: int, domain: Domain, size: tuple[int, int]) -> Scene:
    """Render photo `index` of a person in `outfit`; `size` is (height, width) in pixels.

    Where the outfit lacks a top or a bottom half, the person wears something that no catalogue has. Garments
    of which next to nothing shows (cut off, or covered) are left out of `worn`.
    """
    rng = np.random.default_rng([seed, 3 if domain == "street" else 4, index])
    height, width = size
    background = _street(rng, height, width) if domain == "street" else _studio(rng, height, width)
    pose = _choose_pose(rng, domain)
    canvas = Canvas(background, _choose_view(rng, domain, height, width))
    _paint_person(canvas, outfit, pose, rng)
    owners = np.asarray(canvas.owners)
    worn = []
    for number, garment in enumerate(outfit, start=FIRST_GARMENT):
        box = _box_of(owners == number)
        if box is not None:
            worn.append((garment.article_id, box))
    picture = _photograph(canvas.image, owners > 0, rng, domain)
    return Scene(f"{domain}-{seed}-{index:06d}", domain, picture, owners > 0, tuple(worn))


def _box_of(region: NDArray[np.bool_]) -> Box | None:
    if region.sum() < VISIBLE_SHARE * region.size:
        return None
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


_ARMS: Final = {
    "hanging": (0.16, 0.08),
    "hip": (0.75, -0.75),
    "wave": (1.1, 2.7),
    "pocket": (0.4, -0.25),
    "away": (0.6, 0.5),
}


def _choose_pose(rng: np.random.Generator, domain: Domain) -> Pose:
    jitter = 0.07 if domain == "studio" else 0.11
    shares = (0.42, 0.22, 0.06, 0.2, 0.1)
    arms = [np.asarray(_ARMS[str(name)]) for name in rng.choice(list(_ARMS), size=2, p=shares)]
    if rng.random() < 0.07:
        arms = [np.asarray((0.12, -1.75)), np.asarray((0.12, -1.95))]
    stance = rng.choice((0.06, 0.16, 0.26))
    angles = [(float(a[0] + rng.normal(0, jitter)), float(a[1] + rng.normal(0, jitter))) for a in arms]
    legs = [(float(t), float(t - abs(rng.normal(0, 0.08)))) for t in stance + rng.normal(0, 0.06, size=2)]
    return Pose(
        arms=(angles[0], angles[1]),
        legs=(legs[0], legs[1]),
        lean=float(rng.normal(0, 0.05)),
        sway=float(rng.normal(0, 0.06)),
        back=bool(rng.random() < 0.1),
    )


def _choose_view(rng: np.random.Generator, domain: Domain, height: int, width: int) -> Frame:
    """Full figure, or a close-up of the upper or lower half that still shows some of the other."""
    framing = rng.choice(("full", "upper", "lower"), p=(0.22, 0.42, 0.36))
    top, bottom = {"full": (-1.3, 5.3), "upper": (-1.0, 2.75), "lower": (1.0, 4.8)}[str(framing)]
    roll, turn = rng.normal(0, 0.05), rng.uniform(0.85, 1.05)
    scale = height / (bottom - top) * rng.uniform(0.9 if domain == "street" else 0.96, 1.04)
    centre = np.asarray((0.0, (top + bottom) / 2))
    x, y = width * rng.uniform(0.43, 0.57), height * rng.uniform(0.47, 0.53)
    return _view(centre, scale * turn, scale, roll, x, y)


def _paint_person(canvas: Canvas, outfit: Sequence[Garment], pose: Pose, rng: np.random.Generator) -> None:
    """Paint from back to front: hair, body, the layers of the outfit, arms, sleeves, head, bag."""
    frames = frames_of(pose)
    skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
    shoes: Colour = (35, 32, 34) if rng.random() < 0.5 else (226, 224, 220)
    hair_length, filler, opening = rng.uniform(0.1, 1.5), int(rng.integers(1 << 30)), rng.uniform(0.2, 0.4)
    if pose.back:
        hair_length = 0.4 * hair_length
    hair_back = Piece(limb((0.0, -0.8), (0.0, -0.5 + hair_length), 0.52, 0.4), frames.torso, hair)
    if not pose.back:
        canvas.paint(hair_back, PERSON)
    for piece in body_pieces(frames, skin, shoes):
        canvas.paint(piece, PERSON)
    layers = _dress(outfit, filler, tucked=bool(rng.random() < 0.35))
    cloths = [render_cloth(garment, "back" if pose.back else "front") for garment, _ in layers]
    for (garment, owner), cloth in zip(layers, cloths, strict=True):
        for piece in garment_pieces(garment, cloth, pose, frames, opening):
            canvas.paint(piece, owner)
    for piece in arm_pieces(frames, skin):
        canvas.paint(piece, PERSON)
    for (garment, owner), cloth in zip(layers, cloths, strict=True):
        for piece in sleeve_pieces(garment, cloth, frames):
            canvas.paint(piece, owner)
    _paint_head(canvas, frames, pose, skin, hair)
    if pose.back:
        canvas.paint(hair_back, PERSON)
    elif rng.random() < 0.25 and hair_length > 0.7:
        for mirror in (-1, 1):
            lock = limb((mirror * 0.4, -0.7), (mirror * 0.46, hair_length - 0.4), 0.14, 0.16)
            canvas.paint(Piece(lock, frames.torso, hair), PERSON)
    if rng.random() < 0.3:
        _paint_bag(canvas, frames, rng)


def _dress(outfit: Sequence[Garment], filler: int, tucked: bool) -> list[tuple[Garment, int]]:
    """The layers from the skin outwards, each with its owner number, missing halves filled in."""
    layers = [(garment, number) for number, garment in enumerate(outfit, start=FIRST_GARMENT)]
    worn = {garment.category for garment in outfit}
    if "dress" not in worn and not worn & BOTTOMS:
        layers.append((_plain_filler(filler, bottom=True), PERSON))
    if not worn - BOTTOMS - {"blazer"}:
        layers.append((_plain_filler(filler, bottom=False), PERSON))

    def depth(layer: tuple[Garment, int]) -> int:
        category = layer[0].category
        if category == "blazer":
            return 3
        return 1 if (category in BOTTOMS) != tucked else 2

    return sorted(layers, key=depth)


def _plain_filler(number: int, bottom: bool) -> Garment:
    """A plain garment outside every catalogue: dark trousers, or a pale T-shirt or top."""
    rng = np.random.default_rng([number, 5])
    shade = int(rng.integers(30, 80) if bottom else rng.integers(180, 245))
    colour: Colour = (shade, shade, min(shade + int(rng.integers(0, 24)), 255))
    return Garment(
        article_id="",
        name="",
        category="trousers" if bottom else "t-shirt",
        attributes={"print": "plain", "material": "cotton", "neckline": "round"},
        shades=(colour, colour, colour),
        print_scale=1.0,
        print_angle=0.0,
        print_offset=(0.0, 0.0),
        motif=0,
        ease=1.0,
        flare=0.95,
        hem_y=4.95 if bottom else 2.3,
        sleeve=0.0 if bottom else 0.3,
        sleeve_width=0.28,
    )


def _paint_head(canvas: Canvas, frames: Frames, pose: Pose, skin: Colour, hair: Colour) -> None:
    canvas.paint(Piece(limb((0, -0.5), (0, -0.05), 0.18, 0.18), frames.torso, skin), PERSON)
    canvas.paint(Piece(ellipse((0, -0.88), (0.47, 0.52)), frames.torso, hair), PERSON)
    if pose.back:
        return
    canvas.paint(Piece(ellipse((0, -0.74), (0.38, 0.46)), frames.torso, skin), PERSON)
    fringe = np.asarray(
        [(-0.4, -0.8), (-0.33, -1.16), (0.0, -1.3), (0.34, -1.16), (0.4, -0.8), (0.2, -1.0), (-0.15, -1.05)]
    )
    canvas.paint(Piece(fringe, frames.torso, hair), PERSON)
    for mirror in (-1, 1):
        canvas.paint(Piece(ellipse((mirror * 0.15, -0.76), (0.05, 0.05)), frames.torso, (40, 30, 30)), PERSON)
    canvas.paint(Piece(ellipse((0, -0.5), (0.11, 0.03)), frames.torso, (170, 70, 70)), PERSON)


def _paint_bag(canvas: Canvas, frames: Frames, rng: np.random.Generator) -> None:
    """A shoulder bag on either side, its strap straight down or across the body."""
    colour = BAGS[rng.integers(len(BAGS))]
    mirror, width, height = int(rng.choice((-1, 1))), rng.uniform(0.3, 0.5), rng.uniform(0.35, 0.6)
    x, y = mirror * 0.95, rng.uniform(2.0, 2.5)
    start = (-mirror * 0.5, 0.05) if rng.random() < 0.5 else (mirror * 0.6, 0.1)
    canvas.paint(Piece(limb(start, (x, y), 0.05, 0.05), frames.torso, colour), PERSON)
    corners = np.asarray([(-width, 0.0), (width, 0.0), (1.15 * width, 2 * height), (-1.15 * width, 2 * height)])
    canvas.paint(Piece(corners * 0.8 + (x, y), frames.torso, colour), PERSON)


def _any_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.integers(20, 236, size=3).tolist()
    return red, green, blue


def _muted_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (0.45 * np.asarray(_any_colour(rng)) + 0.55 * rng.integers(50, 220)).astype(int).tolist()
    return red, green, blue


def _studio(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A seamless backdrop, pale or tinted, lit from above, with the line of the floor hardly visible."""
    tint = rng.uniform(150, 250) + rng.uniform(-14, 14, size=3)
    fall = np.linspace(1.04, rng.uniform(0.8, 0.97), height)[:, None]
    fall = fall * np.linspace(1.0, rng.uniform(0.88, 1.0), width)[None, :]
    fall[int(height * rng.uniform(0.78, 0.9)) :] *= rng.uniform(0.9, 1.0)
    return Image.fromarray(np.clip(fall[..., None] * tint, 0, 255).astype(np.uint8))


def _street(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Sky, house fronts, pavement, signs and passers-by in muted colours of their own, out of focus."""
    sky, ground = (
        rng.integers(195, 235) + rng.integers(-12, 13, size=3),
        rng.integers(80, 170) + rng.integers(-10, 10, size=3),
    )
    full_size, (height, width) = (width, height), (height // 2, width // 2)
    image = Image.new("RGB", (width, height), tuple(sky.tolist()))
    draw = ImageDraw.Draw(image)
    horizon = int(height * rng.uniform(0.55, 0.8))
    left = -int(rng.integers(0, width // 4))
    while left < width:
        front = int(rng.integers(width // 5, width // 2))
        _draw_house(draw, rng, left, left + front, int(rng.integers(-height // 4, height // 3)), horizon)
        left += front
    draw.rectangle((0, horizon, width, height), fill=tuple(ground.tolist()))
    for x in rng.integers(-width, 2 * width, size=6).tolist():
        draw.line((width // 2, horizon, x, height), fill=tuple((ground - 18).tolist()), width=1)
    for _ in range(int(rng.integers(2, 6))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        draw.rectangle(
            (x, y, x + int(rng.integers(3, width // 4)), y + int(rng.integers(3, height // 5))),
            fill=_muted_colour(rng),
        )
    for _ in range(int(rng.integers(1, 5))):
        _draw_passer_by(draw, rng, int(rng.integers(width)), horizon, height * rng.uniform(0.3, 0.62))
    blurred = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.0, 0.8))))
    return blurred.resize(full_size, Image.Resampling.BILINEAR)


def _draw_house(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, left: int, right: int, top: int, bottom: int
) -> None:
    wall, pane = _muted_colour(rng), _muted_colour(rng)
    draw.rectangle((left, top, right, bottom), fill=wall)
    step_x, step_y = int(rng.integers(5, 11)), int(rng.integers(6, 14))
    for y in range(top + 2, bottom - step_y // 2, step_y):
        for x in range(left + 2, right - step_x // 2, step_x):
            draw.rectangle((x, y, x + step_x // 2, y + step_y // 2), fill=pane)


def _draw_passer_by(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: int, horizon: int, tall: float) -> None:
    """A simple figure of height `tall` px whose feet stand a little below the horizon."""
    feet = horizon + 0.25 * tall
    head, neck, waist, half = feet - tall, feet - 0.84 * tall, feet - 0.45 * tall, 0.12 * tall
    draw.rectangle((x - half * 0.8, waist, x + half * 0.8, feet), fill=_muted_colour(rng))
    draw.rounded_rectangle((x - half, neck, x + half, waist), radius=half / 2, fill=_muted_colour(rng))
    draw.ellipse((x - half * 0.6, head, x + half * 0.6, neck), fill=SKINS[rng.integers(len(SKINS))])


def _folds(rng: np.random.Generator, height: int, width: int, strength: float) -> NDArray[np.float32]:
    """Smooth light and dark, mostly upright, `(H, W)` float32 around 1."""
    coarse = rng.normal(0, 127 * strength, size=(5, 11)) + 127
    image = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) / np.float32(127)


def _photograph(image: Image.Image, person: NDArray[np.bool_], rng: np.random.Generator, domain: Domain) -> Picture:
    """What the camera makes of it: side light, folds, exposure, white balance, contrast, blur and noise."""
    wild = 1.0 if domain == "street" else 0.5
    height, width = person.shape
    saturation = 1 + rng.uniform(-0.2, 0.15) * wild
    contrast = 1 + rng.uniform(-0.2, 0.15) * wild
    gains = contrast * np.exp(rng.normal(0, 0.05 * wild, size=3) + rng.normal(-0.03, 0.1) * wild)
    mixing = (saturation * np.eye(3) + (1 - saturation) / 3) * gains[:, None]
    matrix = np.concatenate([mixing, np.full((3, 1), 128 * (1 - contrast))], axis=1)
    developed = image.convert("RGB", matrix=tuple(matrix.ravel().tolist()))
    softness = rng.uniform(0.6, 1.4) if domain == "street" else rng.uniform(0.5, 1.1)
    developed = developed.filter(ImageFilter.GaussianBlur(float(softness * height / 192)))
    light = np.where(person, _folds(rng, height, width, 0.09), np.float32(1))
    light *= np.linspace(1 - rng.uniform(-0.2, 0.2) * wild, 1, width, dtype=np.float32)
    noise = rng.standard_normal(size=(height, width), dtype=np.float32)
    noise *= np.float32(rng.uniform(1, 6) * wild)
    picture = np.asarray(developed) * light[..., None]
    picture += noise[..., None]
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)
