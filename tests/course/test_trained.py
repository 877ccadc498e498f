"""Trained files: present, small, decodable, and made by their recipes."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from coordflow_mini import applications, encoder, similarity
from coordflow_mini.bitstream import read_header
from coordflow_mini.config import Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.course.author import trained
from coordflow_mini.course.author.trained import FILM, MOST_BYTES, TRAINED, expected_header
from coordflow_mini.decoder import decode_frames, read_model
from coordflow_mini.measure import metrics
from coordflow_mini.measure.results import data_file
from coordflow_mini.render import render
from coordflow_mini.video import catalog, scenes
from coordflow_mini.video.clip import Video

ROOT = Path(__file__).parents[2]
QUALITY = {"bunny.cfv": 30.0, "cutout.cfv": 40.0}  # PSNR [dB] that a file must at least have
FILMED = [name for name, wanted in TRAINED.items() if wanted.clip == FILM]  # their source is not at hand

each = pytest.mark.parametrize("name", TRAINED)
with_source = pytest.mark.parametrize("name", QUALITY)


def source(name: str) -> Video:
    """The clip of a recipe; of a film that is not at hand, black frames of its form."""
    wanted = TRAINED[name]
    if name not in FILMED:
        return wanted.source()
    where = wanted.selection
    shape = (len(range(where.start, where.stop, where.step)), where.height, where.width, 3)
    return Video(np.zeros(shape, np.uint8), Fraction(24), name, where, "bt709")


def test_every_file_is_compared_with_its_source_or_is_of_the_film():
    assert set(TRAINED) == set(QUALITY) | set(FILMED)


@each
def test_it_is_small(name):
    assert 0 < len(data_file(name).read_bytes()) < MOST_BYTES


@each
def test_it_is_what_the_recipe_makes(name):
    """All but the version: a file of an older one has to stay readable.  Else run: make data."""
    data, recipe = data_file(name).read_bytes(), TRAINED[name].recipe
    video = source(name)
    header = read_header(data)
    assert replace(header, version="") == replace(expected_header(recipe, video), version="")
    most = encoder.plan(video, recipe).target_bytes
    assert recipe.codec.floor * most <= len(data) <= most


@with_source
def test_it_decodes_to_the_clip(name, one_thread):
    video = TRAINED[name].source()
    data, some = data_file(name).read_bytes(), range(0, video.time, 8)
    assert read_header(data).fps == video.fps
    decoded = np.stack(list(decode_frames(data, some)))
    assert metrics.psnr_db(video.frames[some], decoded) >= QUALITY[name]


def test_the_flower_has_a_layer_of_its_own(one_thread):
    header, model = read_model(data_file("cutout.cfv").read_bytes())
    alpha = render(model, frame_times(header.time), header.height, header.width).alpha
    masks = np.stack([(alpha.argmax(dim=0) == layer).numpy() for layer in range(2)])
    assert metrics.match_layers(masks, scenes.cutout().masks[None]).iou >= 0.95


def test_the_animal_has_a_layer_of_its_own(one_thread):
    """The squirrel stays in the middle of the picture and the ground moves down under it."""
    header, model = read_model(data_file("squirrel.cfv").read_bytes())
    times = frame_times(header.time)
    alpha = render(model, times, header.height, header.width).alpha.mean(dim=1)
    animal = int(alpha[:, 38:52, 74:86].mean(dim=(1, 2)).argmax())
    ground = 1 - animal
    assert alpha[animal, 38:52, 74:86].mean() > 0.9 and alpha[ground].mean() > 0.8
    middle = torch.zeros(1, 2)
    moved = [
        similarity.apply(applications.stabilizing(model, layer, times[[0, -1]]), middle)[0].norm() * 80
        for layer in (animal, ground)
    ]
    assert moved[1] > 20 > 8 > moved[0], f"animal {moved[0]:.1f} pixels, ground {moved[1]:.1f}"


def test_another_film_is_refused(tmp_path):
    (tmp_path / "other.mp4").write_bytes(b"no film")
    for film in (None, tmp_path / "other.mp4"):
        with pytest.raises(ValueError, match="--film"):
            TRAINED["squirrel.cfv"].source(film)


@each
def test_its_license_lies_beside_it(name):
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    page = " ".join(page.split())
    clip = "clip:bunny" if name in FILMED else TRAINED[name].clip  # of the same film
    (info,) = (info for info in catalog.builtin() if info.name == clip)
    assert f"`{name}`" in page
    assert all(url in page for url in re.findall(r"https://\S+", info.license))
    assert info.attribution in page or info.attribution == "none needed"


def test_the_expected_header_is_the_one_that_an_encoder_writes(encoded, clip, short_fit, short_codec):
    recipe = Recipe(bpp=4, fit=short_fit, codec=short_codec)
    assert expected_header(recipe, clip) == encoded.header


def test_an_unknown_name_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["trained", "hare.cfv"])
    with pytest.raises(SystemExit):
        trained.main()
    assert "hare.cfv" in capsys.readouterr().err


def test_a_file_is_written_where_it_is_asked_for(monkeypatch, capsys, tmp_path, short_fit, short_codec):
    recipe = trained.TrainedFile(
        "clip:cutout", Recipe(bpp=4, fit=short_fit, codec=short_codec), Selection(0, 3, 1, 32, 24)
    )
    monkeypatch.setitem(trained.TRAINED, "small.cfv", recipe)
    monkeypatch.setattr("sys.argv", ["trained", "small.cfv", "--out", str(tmp_path)])
    trained.main()
    assert (tmp_path / "small.cfv").read_bytes()[:4] == b"\x89CFV"
    assert "small.cfv" in capsys.readouterr().err


def test_the_wheel_takes_the_data_along():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    included = project.split("[tool.hatch.build.targets.wheel.force-include]\n")[1].split("\n[")[0]
    assert re.search(r'^data = "coordflow_mini/data"', included, re.MULTILINE)
    assert all((ROOT / "data" / name).is_file() for name in TRAINED)
