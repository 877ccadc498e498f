"""Where clips come from: generated scenes whose truth is known, real footage, any file.

A scene is drawn by inverse warping: pixel p of frame f shows, for layer l, the color
texture_l(apply(motion[l, f], p)).  The textures are formulas on their own canonical plane, so the
motion, the masks and the layers behind the frames are exact, not estimated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from coordflow_mini.video import Frames, Video

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Scene", "cutout", "pan"]

Array = np.ndarray[Any, np.dtype[np.float32]]
Texture = Callable[[Array, Array, float], Array]  # x, y, width of a soft edge -> RGB [..., 3] in [0, 1]

# How hard the scenes are.  Lengths are in coordinate units (half the larger side of a frame).
TILE = 0.30  # background: side of the square that holds one shape; smaller = more detail
INK = 0.85  # background: how strongly a shape covers the gradient, 0 to 1
EDGE = 1.2  # both: width of a soft edge [pixels]; larger = smoother
RADIUS = 0.62  # foreground: mean radius, as a part of half the shorter side
PETAL = 0.26  # foreground: how deep the silhouette is cut between petals, 0 to 1
PAN, TURN, ZOOM = 0.5, 20.0, 1.3  # background, over the clip: shift, rotation [degrees], scale
MOVE, SPIN, GROW = 0.8, 40.0, 1.4  # foreground, the other way
FPS = Fraction(24)


@dataclass(frozen=True, eq=False)
class Scene:
    """A generated clip together with the truth about it.

    motion: float64 [layers, time, 4], frame -> canonical (see `similarity`); 0 is the background.
    masks: bool [time, height, width], True where the foreground covers at least half of a pixel.
    layers: uint8 [layers, time, height, width, 3], every layer alone, defined everywhere.
    """

    video: Video
    motion: "Tensor"
    masks: np.ndarray[Any, np.dtype[np.bool_]]
    layers: Frames


def cutout(height: int = 64, width: int = 96, frames: int = 24, seed: int = 0) -> Scene:
    """A patterned flower moves, turns and grows over a background that does the opposite.

    The seed changes colors, shapes and the directions of the motion.  Any size and length.
    """
    return _scene("clip:cutout", height, width, frames, seed, layers=2)


def pan(height: int = 64, width: int = 96, frames: int = 24, seed: int = 0) -> Scene:
    """The background of `cutout` alone: one moving layer, no foreground (all masks are False)."""
    return _scene("clip:pan", height, width, frames, seed, layers=1)


def _scene(name: str, height: int, width: int, frames: int, seed: int, layers: int) -> Scene:
    """Both scenes; drawn frame by frame, so that memory beside the result stays one frame's."""
    if min(height, width, frames) < 1:
        raise ValueError(
            f"a scene needs at least 1x1 pixels and 1 frame, got {width}x{height}, {frames} frames"
        )
    rng = np.random.default_rng(seed)
    motion = _motion(height, width, frames, rng)[:layers]
    textures, silhouette = _look(rng, min(height, width) / max(height, width))
    picture = np.empty((frames, height, width, 3), np.uint8)
    clean = np.empty((layers, frames, height, width, 3), np.uint8)
    masks = np.zeros((frames, height, width), bool)
    for frame in range(frames):
        colors = [
            _draw(texture, motion[i, frame], height, width) for i, texture in enumerate(textures[:layers])
        ]
        clean[:, frame] = [_to_uint8(color) for color in colors]
        result = colors[0]
        if layers == 2:
            cover = _draw(silhouette, motion[1, frame], height, width)
            masks[frame] = cover[..., 0] >= 0.5
            result = colors[0] + cover * (colors[1] - colors[0])
        picture[frame] = _to_uint8(result)
    return Scene(Video(picture, FPS, name), motion, masks, clean)


def _to_uint8(color: Array) -> Frames:
    """8-bit values of colors in [0, 1], rounded."""
    return (np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)


def _draw(texture: Texture, transform: "Tensor", height: int, width: int) -> Array:
    """The texture seen through one transform, float32 [height, width, channels].

    Small frames average 3x3 points per pixel; large ones one point, as their edges are soft anyway.
    """
    from coordflow_mini import coords, similarity

    side = 3 if max(height, width) <= 256 else 1
    points = coords.pixel_grid(height, width, scale=side)
    edge = EDGE * float(transform[0].exp()) / coords.half_side(height, width)
    seen = similarity.apply(transform.float(), points).numpy()
    band = 1 << 16  # points at a time: the intermediate arrays stay in the processor's cache
    parts = [
        texture(part[:, 0].copy(), part[:, 1].copy(), edge)
        for part in np.split(seen, range(band, len(seen), band))
    ]
    color = np.concatenate(parts).reshape(height, side, width, side, -1)
    return color.mean((1, 3)) if side > 1 else color[:, 0, :, 0]


def _motion(height: int, width: int, frames: int, rng: np.random.Generator) -> "Tensor":
    """Truth, float64 [2, frames, 4]: smooth in time, the middle of the clip near the identity."""
    import torch

    from coordflow_mini import coords, similarity

    time = coords.frame_times(frames).double()
    ease, bow = torch.sin(time * torch.pi / 2) / 2, torch.cos(time * torch.pi / 2) - 0.5  # -1/2 .. 1/2
    direction = rng.uniform(-0.35, 0.35) + (np.pi if rng.random() < 0.5 else 0)
    along = torch.tensor([np.cos(direction), np.sin(direction)])
    across = along.flip(0) * torch.tensor([-1.0, 1.0])
    if height > width:
        along, across = along.flip(0), across.flip(0)
    turn, zoom, bend = rng.choice([-1.0, 1.0], 3)

    def path(shift: float, angle: float, scale: float, bowed: float) -> "Tensor":
        place = shift * ease[:, None] * along + bowed * bow[:, None] * across
        rest = torch.stack([ease * np.log(scale) * zoom, ease * np.deg2rad(angle) * turn], dim=-1)
        return torch.cat([rest, place], dim=-1)

    reach = min(height, width) / max(height, width)
    background = path(PAN, TURN, ZOOM, 0.0)  # where the camera looks: its content goes the other way
    foreground = path(MOVE, SPIN, GROW, 0.2 * reach * bend)  # where the flower is: canonical -> frame
    return torch.stack([background, similarity.inverse(foreground)])


def _soft(distance: Array, edge: float) -> Array:
    """1 inside (distance < 0), 0 outside, a smooth ramp `edge` wide between them."""
    ramp = np.clip(0.5 - distance / np.float32(edge), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _rgb(lightness: float, chroma: float, hue: float) -> Array:
    """sRGB in [0, 1] of an OKLCH color; hue in turns.  Ottosson 2020, "A perceptual color space"."""
    a, b = chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip(to_rgb @ (to_lms @ [lightness, a, b]) ** 3, 0, 1)
    return np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(
        np.float32
    )


def _look(rng: np.random.Generator, reach: float) -> tuple[list[Texture], Texture]:
    """The two textures and the silhouette of one seed."""
    hue = rng.random()
    tiles = _Tiles(
        ground=np.stack([_rgb(0.30, 0.09, hue), _rgb(0.52, 0.10, hue + 0.12), _rgb(0.42, 0.10, hue - 0.13)]),
        inks=np.stack([_rgb(lightness, 0.09, hue + turn) for lightness, turn in _INKS]),
        kind=rng.integers(0, 6, (16, 16)),
        ink=rng.integers(0, len(_INKS), (16, 16)),
        phase=rng.uniform(0, 2 * np.pi, 4),
    )
    flower = _Flower(
        colors=np.stack(
            [
                _rgb(0.80, 0.15, hue + 0.47),
                _rgb(0.62, 0.19, hue + 0.55),
                _rgb(0.95, 0.05, hue + 0.45),
                _rgb(0.36, 0.10, hue + 0.60),
            ]
        ),
        petals=int(rng.integers(5, 8)),
        radius=RADIUS * reach,
        swirl=float(rng.choice([-1, 1]) * rng.uniform(1.5, 2.5)),
        lean=float(rng.uniform(0, 2 * np.pi)),
    )
    return [tiles.color, flower.color], flower.cover


_INKS = ((0.72, 0.05), (0.62, -0.12), (0.85, 0.16), (0.22, -0.03), (0.70, 0.22))


@dataclass(frozen=True)
class _Tiles:
    """Background: shapes of six kinds, one per square tile, on a smooth gradient; goes on forever."""

    ground: Array  # [3, 3] the gradient's colors
    inks: Array  # [inks, 3]
    kind: Any  # [16, 16] shape of a tile, repeated
    ink: Any  # [16, 16] color of a tile
    phase: Any  # [4]

    def color(self, x: Array, y: Array, edge: float) -> Array:
        """RGB [..., 3]."""
        column, row = np.floor(x / TILE), np.floor(y / TILE)
        a, b = x / TILE - column - 0.5, y / TILE - row - 0.5
        place = (row.astype(np.int64) & 15) * 16 + (column.astype(np.int64) & 15)
        cover = INK * _soft(_shape(self.kind.ravel()[place], a, b), edge / TILE)
        first, second, third, fourth = np.float32(self.phase)
        warm = 0.5 + 0.5 * np.sin(2.1 * x + 1.2 * y + first + 0.6 * np.sin(1.7 * y + second))
        cool = 0.5 + 0.5 * np.sin(1.1 * x - 2.3 * y + third + 0.6 * np.sin(1.9 * x + fourth))
        ground = self.ground[0] + warm[:, None] * (self.ground[1] - self.ground[0])
        ground += (0.7 * cool)[:, None] * (self.ground[2] - ground)
        return ground + cover[:, None] * (self.inks[self.ink.ravel()[place]] - ground)


def _shape(kind: Any, a: Array, b: Array) -> Array:
    """Signed distance to the shape of each point's tile, in tile sides; negative inside.

    a, b: from the tile's center, -1/2 to 1/2.  Shapes keep clear of the border: no seams.
    """
    radius = np.hypot(a, b)
    side = np.maximum(np.abs(a), np.abs(b))
    shapes = [
        radius - 0.38,  # disc
        np.abs(radius - 0.28) - 0.10,  # ring
        side - 0.35,  # square
        np.maximum(np.hypot(a + 0.4, b + 0.4) - 0.8, -0.4 - np.minimum(a, b)),  # quarter disc
        np.maximum(np.abs(np.abs(a) - 0.2) - 0.1, np.abs(b) - 0.38),  # two bars
        np.maximum((a + b) * 0.7071, side - 0.38),  # triangle
    ]
    return np.choose(kind, shapes)


@dataclass(frozen=True)
class _Flower:
    """Foreground: petals with a light rim around a dotted center, on its own plane."""

    colors: Array  # [4, 3]: petal, petal's other half, rim, center
    petals: int
    radius: float
    swirl: float  # how far stripes wind per unit of radius [radians / radius]
    lean: float  # direction of the longest petal, so that no turn looks like another [radians]

    def _inside(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Signed distance to the silhouette (about), radius in radii, angle."""
        radius, angle = np.hypot(x, y), np.arctan2(y, x)
        outline = 1 + PETAL * np.cos(self.petals * angle) + 0.12 * np.cos(angle - self.lean)
        return radius - np.float32(self.radius) * outline, radius / np.float32(self.radius), angle

    def cover(self, x: Array, y: Array, edge: float) -> Array:
        """How much of each point the flower covers, [..., 1]."""
        return _soft(self._inside(x, y)[0], edge)[:, None]

    def color(self, x: Array, y: Array, edge: float) -> Array:
        """RGB [..., 3]; the pattern goes on beyond the silhouette."""
        distance, radius, angle = self._inside(x, y)
        soft = edge / self.radius
        petal, other, rim, core = self.colors
        wave = np.sin(self.petals * angle + np.float32(self.swirl) * 2 * radius)
        half = _soft(wave * radius / self.petals, soft)
        shade = np.clip(0.55 + 0.5 * radius + 0.12 * np.cos(angle - self.lean), 0, 1.1)
        color = (other + half[:, None] * (petal - other)) * shade[:, None]
        color += _soft(np.abs(distance + 0.10 * self.radius) - 0.035 * self.radius, edge)[:, None] * (
            rim - color
        )
        color += _soft(radius - 0.36, soft)[:, None] * (core - color)
        spot = np.hypot(radius * np.cos(angle - self.lean) - 0.1, radius * np.sin(angle - self.lean)) - 0.14
        return color + _soft(spot, soft)[:, None] * (rim - color)
