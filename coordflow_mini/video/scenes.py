"""Generated clips whose motion, masks and layers are known exactly: `cutout` and `pan`.

A scene is drawn by inverse warping: pixel p of frame f shows, for layer l, the color
texture_l(apply(motion[l, f], p)).  Textures are formulas on each layer's canonical plane, so the motion, the
masks and the occluded parts of layers are exact, not estimated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from coordflow_mini.config import Selection
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.clip import Video, check_range
from coordflow_mini.video.raw import Frames, VideoError

with lazily():
    import torch

    from coordflow_mini import coords, similarity

Array = np.ndarray[Any, Any]  # float32
Texture = Callable[[Array, Array, float], Array]  # x, y, width of a soft edge -> RGB [..., 3] in [0, 1]

# Difficulty of the scenes.  Lengths are in coordinate units (half the larger side of a frame).
TILE = 0.45  # background: side of the square around each shape; smaller = more detail
INK = 0.85  # background: opacity of shapes on the gradient, 0 to 1
EDGE = 1.2  # both: width of a soft edge [pixels]; larger = smoother
RADIUS = 0.62  # foreground: mean radius, relative to half the shorter side
PETAL = 0.26  # foreground: depth of the gaps between petals, 0 to 1
PAN, TURN, ZOOM = 0.3, 12.0, 1.2  # background, over the clip: shift, rotation [degrees], scale
MOVE, SPIN, GROW = 0.6, 25.0, 1.25  # foreground, the other way
HEIGHT, WIDTH, FRAMES, FPS = 64, 96, 24, Fraction(24)  # defaults

_LAYERS = {"cutout": 2, "pan": 1}


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """A generated clip with its ground truth.

    motion: float64 [layers, time, 4], frame -> canonical (see `similarity`); 0 is the background.
    masks: bool [time, height, width], True where the foreground covers at least half of a pixel.
    layers: uint8 [layers, time, height, width, 3], each layer by itself, also where it is occluded.
    """

    video: Video
    motion: "torch.Tensor"
    masks: np.ndarray[Any, np.dtype[np.bool_]]
    layers: Frames

    def __repr__(self) -> str:
        return f"Scene({self.video!r}, {len(self.layers)} layers)"


def cutout(height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES, seed: int = 0) -> Scene:
    """A patterned flower moves, turns and grows over a background that does the opposite.

    The seed varies colors, shapes and directions of motion.

    >>> cutout(frames=3)
    Scene(Video('clip:cutout', 3 frames of 96x64, 24 fps, rgb), 2 layers)
    """
    return _scene("clip:cutout", 2, seed, frames, Selection(0, frames, 1, width, height))


def pan(height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES, seed: int = 0) -> Scene:
    """The background of `cutout` alone: one moving layer, no foreground (all masks are False)."""
    return _scene("clip:pan", 1, seed, frames, Selection(0, frames, 1, width, height))


def scene(name: str, selection: Selection | None = None) -> Scene:
    """The generated clip of a name such as clip:cutout:3, where 3 is the seed, with its ground truth.

    Drawn at the selection's size, not resized; frames are selected from 24.
    Raises VideoError unless the name is that of a generated clip.
    """
    _, kind, *seed = name.split(":")
    if kind not in _LAYERS or len(seed) > 1 or not all(part.isdecimal() for part in seed):
        raise VideoError(
            f"there is no clip {name!r}; expected a path, clip:cutout, clip:pan, clip:bunny, "
            "or clip:cutout:SEED"
        )
    part = selection or Selection()
    check_range(part, FRAMES, name)
    width, height = part.width or WIDTH, part.height or HEIGHT
    part = replace(part, stop=part.stop or FRAMES, width=width, height=height)
    return _scene(name, _LAYERS[kind], int(seed[0]) if seed else 0, FRAMES, part)


def _scene(name: str, count: int, seed: int, frames: int, part: Selection) -> Scene:
    """The selected part of a scene with `count` layers: the foreground over the background, by coverage."""
    height, width = part.height or HEIGHT, part.width or WIDTH
    rng = np.random.default_rng(seed)
    motion = _motion(height, width, frames, rng)[:count, part.start : part.stop : part.step]
    textures, silhouette = _look(rng, min(height, width) / max(height, width))
    size = (motion.shape[1], height, width)
    pictures, masks = np.empty((*size, 3), np.uint8), np.zeros(size, bool)
    layers = np.empty((count, *size, 3), np.uint8)
    for frame in range(size[0]):
        colors = [_seen(textures[layer], motion[layer, frame], height, width) for layer in range(count)]
        picture = colors[0]
        if count == 2:
            cover = _seen(silhouette, motion[1, frame], height, width)
            picture = picture + cover * (colors[1] - picture)
            masks[frame] = cover[..., 0] >= 0.5
        pictures[frame] = _to_uint8(picture)
        for layer, color in enumerate(colors):
            layers[layer, frame] = _to_uint8(color)
    return Scene(Video(pictures, FPS / part.step, name, part), motion, masks, layers)


def _seen(texture: Texture, transform: "torch.Tensor", height: int, width: int) -> Array:
    """A texture seen through a layer's motion [4], float32 [height, width, channels].

    Small frames average 3x3 samples per pixel; large ones take one, as edges are soft.
    """
    side = 3 if max(height, width) <= 256 else 1
    points: Array = similarity.apply(transform.float(), coords.pixel_grid(height, width, scale=side)).numpy()
    edge = EDGE * float(transform[0].exp()) / coords.half_side(height, width)
    band = 1 << 16  # points at a time: intermediate arrays stay in the CPU cache
    parts = [
        texture(part[:, 0].copy(), part[:, 1].copy(), edge)
        for part in np.split(points, range(band, len(points), band))
    ]
    color = np.concatenate(parts).reshape(height, side, width, side, -1)
    return np.asarray(color.mean((1, 3)) if side > 1 else color[:, 0, :, 0])


def _to_uint8(color: Array) -> Frames:
    return (np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)


def _motion(height: int, width: int, frames: int, rng: np.random.Generator) -> "torch.Tensor":
    """True motion, float64 [2, frames, 4]: smooth in time, near the identity in the middle of the clip."""
    time = coords.frame_times(frames).double()
    ease, bow = torch.sin(time * torch.pi / 2) / 2, torch.cos(time * torch.pi / 2) - 0.5  # -1/2 .. 1/2
    direction = rng.uniform(-0.35, 0.35) + (np.pi if rng.random() < 0.5 else 0)
    along = torch.tensor([np.cos(direction), np.sin(direction)])
    across = along.flip(0) * torch.tensor([-1.0, 1.0])
    if height > width:
        along, across = along.flip(0), across.flip(0)
    turn, zoom, bend = rng.choice([-1.0, 1.0], 3)

    def path(shift: float, angle: float, scale: float, bowed: float) -> "torch.Tensor":
        offset = shift * ease[:, None] * along + bowed * bow[:, None] * across
        rest = torch.stack([ease * np.log(scale) * zoom, ease * np.deg2rad(angle) * turn], dim=-1)
        return torch.cat([rest, offset], dim=-1)

    reach = min(height, width) / max(height, width)
    background = path(PAN, TURN, ZOOM, 0.0)  # the camera's path: the content moves the other way
    foreground = path(MOVE, SPIN, GROW, 0.2 * reach * bend)  # the flower's path: canonical -> frame
    return torch.stack([background, similarity.inverse(foreground)])


def _soft(distance: Array, edge: float) -> Array:
    """1 inside (distance < 0), 0 outside, with a smooth ramp of width `edge`."""
    ramp = np.clip(0.5 - distance / np.float32(edge), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def _rgb(lightness: float, chroma: float, hue: float) -> Array:
    """Converts OKLCH to sRGB in [0, 1]; hue in turns.  Ottosson 2020, "A perceptual color space"."""
    a, b = chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)
    linear = np.clip(_LMS_TO_RGB @ (_LAB_TO_LMS @ [lightness, a, b]) ** 3, 0, 1)
    rgb = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(rgb, np.float32)


_LAB_TO_LMS = np.array(
    [[1, 0.39633778, 0.21580376], [1, -0.10556135, -0.06385417], [1, -0.08948418, -1.29148555]]
)
_LMS_TO_RGB = np.array(
    [
        [4.07674166, -3.30771159, 0.23096993],
        [-1.26843800, 2.60975740, -0.34131940],
        [-0.00419609, -0.70341861, 1.70761470],
    ]
)


def _look(rng: np.random.Generator, reach: float) -> tuple[tuple[Texture, ...], Texture]:
    """The two textures and the silhouette of one seed."""
    hue = rng.random()
    tiles = _Tiles(
        ground=np.stack([_rgb(0.30, 0.09, hue), _rgb(0.52, 0.10, hue + 0.12), _rgb(0.42, 0.10, hue - 0.13)]),
        inks=np.stack([_rgb(lightness, 0.09, hue + turn) for lightness, turn in _INKS]),
        kind=rng.integers(0, 6, (16, 16)),
        ink=rng.integers(0, len(_INKS), (16, 16)),
        phase=rng.uniform(0, 2 * np.pi, 4).astype(np.float32),
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
    return (tiles.color, flower.color), flower.cover


_INKS = ((0.72, 0.05), (0.62, -0.12), (0.85, 0.16), (0.22, -0.03), (0.70, 0.22))


@dataclass(frozen=True)
class _Tiles:
    """Background: six kinds of shapes, one per square tile, on a smooth gradient; unbounded."""

    ground: Array  # [3, 3] the gradient's colors
    inks: Array  # [inks, 3]
    kind: Any  # [16, 16] shape of each tile, repeated
    ink: Any  # [16, 16] color of each tile
    phase: Array  # [4] of the gradient's waves [radians]

    def color(self, x: Array, y: Array, edge: float) -> Array:
        """RGB [..., 3]."""
        column, row = np.floor(x / TILE), np.floor(y / TILE)
        a, b = x / TILE - column - 0.5, y / TILE - row - 0.5
        tile = (row.astype(np.int64) & 15) * 16 + (column.astype(np.int64) & 15)
        cover = INK * _soft(_shape(self.kind.ravel()[tile], a, b), edge / TILE)
        first, second, third, fourth = self.phase
        warm = 0.5 + 0.5 * np.sin(2.1 * x + 1.2 * y + first + 0.6 * np.sin(1.7 * y + second))
        cool = 0.5 + 0.5 * np.sin(1.1 * x - 2.3 * y + third + 0.6 * np.sin(1.9 * x + fourth))
        ground: Array = self.ground[0] + warm[:, None] * (self.ground[1] - self.ground[0])
        ground += (0.7 * cool)[:, None] * (self.ground[2] - ground)
        return np.asarray(ground + cover[:, None] * (self.inks[self.ink.ravel()[tile]] - ground))


def _shape(kind: Any, a: Array, b: Array) -> Array:
    """Signed distance to the shape of each point's tile [tile sides]; negative inside.

    a, b: offsets from the tile's center, -1/2 to 1/2.  Shapes do not touch the border, so there are no seams.
    """
    radius = np.hypot(a, b)
    side = np.maximum(np.abs(a), np.abs(b))
    shapes: list[Array] = [
        radius - 0.38,  # disc
        np.abs(radius - 0.28) - 0.10,  # ring
        side - 0.35,  # square
        np.maximum(np.hypot(a + 0.4, b + 0.4) - 0.8, -0.4 - np.minimum(a, b)),  # quarter disc
        np.maximum(np.abs(np.abs(a) - 0.2) - 0.1, np.abs(b) - 0.38),  # two bars
        np.maximum((a + b) * 0.7071, side - 0.38),  # triangle
    ]
    return np.asarray(np.choose(kind, shapes))


@dataclass(frozen=True)
class _Flower:
    """Foreground: petals with a light rim around a dotted center."""

    colors: Array  # [4, 3]: petal, its other half, rim, center
    petals: int
    radius: float
    swirl: float  # winding of the stripes [radians / radius]
    lean: float  # direction of the longest petal [radians]: no two rotations look alike

    def _inside(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Approximate signed distance to the silhouette, radius [radii], angle [radians]."""
        radius, angle = np.hypot(x, y), np.arctan2(y, x)
        outline = 1 + PETAL * np.cos(self.petals * angle) + 0.12 * np.cos(angle - self.lean)
        return radius - np.float32(self.radius) * outline, radius / np.float32(self.radius), angle

    def cover(self, x: Array, y: Array, edge: float) -> Array:
        """Coverage of each point, [..., 1]."""
        return _soft(self._inside(x, y)[0], edge)[:, None]

    def color(self, x: Array, y: Array, edge: float) -> Array:
        """RGB [..., 3]; the pattern continues beyond the silhouette."""
        distance, radius, angle = self._inside(x, y)
        soft = edge / self.radius
        petal, other, rim, core = self.colors
        wave = np.sin(self.petals * angle + np.float32(self.swirl) * 2 * radius)
        half = _soft(wave * radius / self.petals, soft)
        shade = np.clip(0.55 + 0.5 * radius + 0.12 * np.cos(angle - self.lean), 0, 1.1)
        color: Array = (other + half[:, None] * (petal - other)) * shade[:, None]
        line = np.abs(distance + 0.10 * self.radius) - 0.035 * self.radius
        color += _soft(line, edge)[:, None] * (rim - color)
        color += _soft(radius - 0.36, soft)[:, None] * (core - color)
        spot = np.hypot(radius * np.cos(angle - self.lean) - 0.1, radius * np.sin(angle - self.lean)) - 0.14
        color += _soft(spot, soft)[:, None] * (rim - color)
        return color
