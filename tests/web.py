"""Web pages as the tests read them, and a small run to show on one."""

import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import torch

from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.render import Rendering
from coordflow_mini.video.clip import Video


class Page(HTMLParser):
    """Start tags with attributes, and the text as it is read; every element must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.stack: list[str] = []
        self.text = self.style = self.script = ""
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "input"}:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        kind = next((tag for tag in ("style", "script") if tag in self.stack), "text")
        setattr(self, kind, getattr(self, kind) + data.replace("\N{NO-BREAK SPACE}", " "))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def skeleton(self) -> list[tuple[str, list[str]]]:
        """Elements with the names of their attributes."""
        return [(tag, list(attributes)) for tag, attributes in self.tags]

    @property
    def policy(self) -> str:
        return next(one["content"] for one in self.all("meta") if "http-equiv" in one)

    def check_loads_nothing(self) -> None:
        for tag, attributes in self.tags:
            assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
            for name, value in attributes.items():
                if name in {"src", "href", "xlink:href", "action", "srcset", "poster", "data"}:
                    assert value.startswith("#"), f"<{tag} {name}={value!r}>"
                assert not re.search(r"url\((?!'data:image/|#)", value or "")
                assert not name.startswith("on")
        loads = r"https?:|@import|url\(|fetch|XMLHttp|import\s*\("
        assert not re.search(loads, self.style + self.script)
        assert self.policy.startswith("default-src 'none'")


# --- a run to show --------------------------------------------------------------------------------------


def clip(
    time: int = 6, height: int = 18, width: int = 32, *, noise: int = 0, name: str = "clip:test"
) -> Video:
    frame, row, column = np.ogrid[0:time, 0:height, 0:width]
    gray = ((20 * frame + row + column) % 256)[..., None] + np.array([0, 20, 40])
    gray = gray + np.random.default_rng(0).integers(-noise, noise + 1, gray.shape)
    return Video(np.clip(gray, 0, 255).astype(np.uint8), Fraction(25), name)


def rendering(video: Video, layers: int = 2) -> Rendering:
    rgb = torch.from_numpy(video.frames)
    alpha = torch.full((layers, *rgb.shape[:3]), 1 / layers)
    return Rendering(rgb=rgb, layer_rgb=torch.stack([rgb] * layers), alpha=alpha)


def point(psnr: float, codec: str = "x265", **changes) -> RatePoint:
    base = RatePoint(codec, "clip", 1000, 0.5, psnr, 0.9, 1.5, 0.1, "preset=medium crf=30, raw stream")
    return replace(base, **changes)


def run(video: Video, decoded: Video, *references: RatePoint, **changes) -> RunResult:
    ours = point(psnr_db(video.frames, decoded.frames), "CoordFlow", settings="layers=2, seed=0")
    versions = {"coordflow_mini": "0.1.0"}
    known = {"hardware": "2 cores", "versions": versions, "references": references}
    return RunResult(video.name, video.frames.shape[:3], ours, 5.0, 1600, 40.0, **(known | changes))
