"""The widgets by their laws: in step, fast, refused where it makes no sense, visible without a kernel."""

import io
import re
import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from coordflow_mini.config import ModelConfig
from coordflow_mini.model import CoordFlow
from coordflow_mini.render import Rendering
from coordflow_mini.show import figure, plots
from coordflow_mini.video.clip import Video

widgets = pytest.importorskip("coordflow_mini.show.widgets", reason="ipywidgets is not installed")
ipywidgets = pytest.importorskip("ipywidgets")
overlay = pytest.importorskip("coordflow_mini.course.lesson.overlay").overlay
blended = pytest.importorskip("coordflow_mini.course.lesson.overlay").blended
playground = pytest.importorskip("coordflow_mini.course.lesson.playground").playground
watch = pytest.importorskip("coordflow_mini.course.lesson.watching").watch


def clip(frames: int = 6, height: int = 18, width: int = 32, name: str = "clip:test") -> Video:
    index = np.arange(frames, dtype=np.uint8).reshape(-1, 1, 1, 1) * 30
    return Video(np.broadcast_to(index, (frames, height, width, 3)).copy(), Fraction(25), name)


def shown_gray(scrubber: widgets.Shown) -> list[float]:
    """Mean gray level of each picture on show."""
    return [np.asarray(Image.open(io.BytesIO(image.value))).mean() for image in scrubber.images]


def test_every_step_shows_its_frame_in_all_pictures():
    later = Video(clip().frames + 9, Fraction(25), "later")
    scrubber = widgets.scrub([clip(), later])
    assert all((one.min, one.max, one.step) == (0, 5, 1) for one in (scrubber.slider, scrubber.play))
    for frame in (3, 5, 0, 1):
        scrubber.slider.value = frame
        assert shown_gray(scrubber) == pytest.approx([30 * frame, 30 * frame + 9], abs=1.5)
        assert f"frame {frame}, {frame / 25:.2f} s" in scrubber.now.value


def test_panels_of_a_coded_clip_go_straight_in():
    scrubber = widgets.scrub(plots.panels(clip(), Video(clip().frames + 10)))
    assert shown_gray(scrubber) == pytest.approx([0, 10, 50], abs=1.5)
    assert "one row each for original, decoded, error" in figure.alt_text(scrubber.figure)


def test_large_pictures_are_shrunk_and_sizes_may_differ():
    scrubber = widgets.scrub([clip(2, 720, 1280), clip(2, 9, 16)])
    sizes = [Image.open(io.BytesIO(image.value)).size for image in scrubber.images]
    assert sizes[0][0] * sizes[0][1] <= 1.01 * widgets.MOST_PIXELS and sizes[1] == (16, 9)


def test_playing_is_linked_in_the_browser_at_the_speed_of_the_clip():
    scrubber = widgets.scrub(clip())
    assert scrubber.play.interval == 40
    slow = widgets.scrub(Video(clip().frames, Fraction(10)))
    assert slow.play.interval == 100


def test_without_a_kernel_there_is_a_contact_sheet_with_alt_text():
    scrubber = widgets.scrub([clip(), clip()], titles=["before", "after"])
    bundle = scrubber._repr_mimebundle_()
    alt = figure.alt_text(scrubber.figure)
    assert bundle["text/plain"] == alt and "before, after" in alt
    assert f'alt="{alt}"' in bundle["text/html"] and 'src="data:image/' in bundle["text/html"]
    assert "<script" not in bundle["text/html"] and "style=" not in bundle["text/html"]  # GitHub strips both
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == scrubber.box.model_id and view["version_major"] == 2


def test_titles_are_escaped():
    scrubber = widgets.scrub(clip(name="<script>alert(1)</script>"))
    column = scrubber.box.children[0].children[0]
    assert column.children[0].value == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert "<script" not in scrubber._repr_mimebundle_()["text/html"]


def test_one_frame_has_nothing_to_play():
    scrubber = widgets.scrub(clip(1))
    assert scrubber.slider.max == 0 and scrubber.play.disabled and scrubber.slider.disabled


def test_settings_are_told_apart_by_their_captions():
    names = ["1 wave", "<2> waves", "4 waves"]
    scrubber = widgets.scrub(clip(3), captions=names)
    assert scrubber.slider.description == "setting" and scrubber.play.interval == 500
    assert scrubber.now.value == "1 wave"
    scrubber.slider.value = 1
    assert scrubber.now.value == "&lt;2&gt; waves"
    alt = figure.alt_text(scrubber.figure)
    assert alt == "1 wave; <2> waves; 4 waves." and "frame" not in alt
    shown = [place.get_xlabel() for place in scrubber.figure.axes]
    assert shown == names


def test_what_cannot_be_scrubbed_together_is_refused():
    with pytest.raises(ValueError, match="captions must be one per frame, got 2 for 6 frames"):
        widgets.scrub(clip(6), captions=["one", "two"])
    with pytest.raises(ValueError, match=r"one length, got lengths \[6, 5\]"):
        widgets.scrub([clip(6), clip(5)])
    with pytest.raises(ValueError, match="one or more"):
        widgets.scrub([])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        widgets.scrub([clip(), clip()], titles=["only one"])


# --- overlay ------------------------------------------------------------------------------------------


def rendering(frames: int = 3, height: int = 12, width: int = 20) -> Rendering:
    """Layer 0 is dark and seen on the left, layer 1 is light and seen on the right."""
    layer_rgb = torch.stack(
        [torch.full((frames, height, width, 3), gray, dtype=torch.uint8) for gray in (40, 200)]
    )
    alpha = torch.zeros(2, frames, height, width)
    alpha[0, ..., : width // 2], alpha[1, ..., width // 2 :] = 1, 1
    rgb = (alpha[..., None] * layer_rgb).sum(0).to(torch.uint8)
    return Rendering(rgb, layer_rgb, alpha)


def halves(image) -> list[float]:
    """Mean of the left and of the right half of what an image widget shows."""
    picture = np.asarray(Image.open(io.BytesIO(image.value))).astype(float)
    middle = picture.shape[1] // 2
    return [picture[:, :middle].mean(), picture[:, middle:].mean()]


def test_a_layer_that_is_switched_off_leaves_a_hole():
    view = overlay(rendering())
    assert halves(view.image) == pytest.approx([40, 200], abs=6)
    view.switches[1].value = False
    assert halves(view.image) == pytest.approx([40, 128], abs=6)
    view.switches[0].value = False
    assert halves(view.image) == pytest.approx([128, 128], abs=2)


def test_a_tint_covers_its_layer_only_and_as_much_as_wanted():
    view = overlay(rendering())
    before = halves(view.image)
    view.tint.value = 1
    half = halves(view.image)
    assert half[0] == pytest.approx(before[0], abs=6) and half[1] < before[1] - 20
    view.opacity.value = 0.0
    assert halves(view.image) == pytest.approx(before, abs=1)


def test_all_layers_blended_are_the_picture():
    shown = rendering()
    whole = blended(shown.layer_rgb[:, 0], shown.alpha[:, 0], [0, 1])
    assert np.abs(whole.astype(int) - shown.rgb[0].numpy()).max() <= 1


# --- playground ---------------------------------------------------------------------------------------


def test_the_playground_draws_what_its_sliders_say():
    asked = []

    def warp(motion):
        asked.append(motion)
        return np.full((8, 12, 3), 40 if motion[1] == 0 else 200, np.uint8)

    view = playground(warp, name="A test")
    view.angle.value = 90
    assert halves(view.image)[0] == pytest.approx(200, abs=2)
    view.scale.value = 2
    view.right.value, view.down.value = 0.5, -0.25
    assert asked[-1].tolist() == pytest.approx([np.log(2), np.pi / 2, 0.5, -0.25])
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", view.matrix.value)]
    assert numbers == pytest.approx([0, -2, 0.5, 2, 0, -0.25, 0, 0, 1], abs=0.005)


def test_the_playground_has_a_static_picture():
    view = playground(lambda motion: np.zeros((8, 12, 3), np.uint8), name="A test")
    assert figure.alt_text(view.figure).startswith("A test under four motions: no change, scale 2")


# --- training -----------------------------------------------------------------------------------------


def test_the_training_view_follows_a_fit():
    video = clip(4, 16, 24)
    view = watch(video, layers=2)
    before = [image.value for image in view.images]
    model = CoordFlow(ModelConfig(width=4, depth=1, space_frequencies=4), torch.Generator().manual_seed(0))
    for step in (50, 100):
        figures = {"psnr_db": 20.0, "seconds": 1.0, "seconds_left": 1.0}
        view(SimpleNamespace(stage="fit", step=step, steps=100, model=model, **figures))
    after = [image.value for image in view.images]
    assert before[0] == after[0]
    assert all(a != b for a, b in zip(before[1:], after[1:], strict=True))
    assert "step 100 of 100" in view.now.value
    assert bytes(view.curve.value).startswith(b"\x89PNG")


# --- all of them --------------------------------------------------------------------------------------

VIEWS = {
    "scrub": lambda: widgets.scrub(clip()),
    "overlay": lambda: overlay(rendering()),
    "playground": lambda: playground(lambda motion: np.zeros((8, 12, 3), np.uint8)),
    "watch": lambda: watch(clip()),
}
views = pytest.mark.parametrize("name", VIEWS)


@views
def test_every_widget_can_be_seen_without_a_kernel(name):
    bundle = VIEWS[name]()._repr_mimebundle_()
    assert 'alt="' in bundle["text/html"] and len(bundle["text/plain"]) > 20
    assert "<script" not in bundle["text/html"]
    assert len(bundle["text/html"]) < 300_000


OLD = {"Box", "Checkbox", "Dropdown", "FloatSlider", "HBox", "HTML", "Image", "IntSlider", "Play", "VBox"}


@views
def test_widgets_are_made_of_what_ipywidgets_7_has(name):
    def inside(widget) -> set[str]:
        return {type(widget).__name__}.union(*(inside(child) for child in getattr(widget, "children", ())))

    assert inside(VIEWS[name]().box) <= OLD


@views
def test_every_control_says_what_it_is(name):
    """For those who hear the page."""
    kinds = (ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.Dropdown, ipywidgets.Checkbox)
    controls = [value for value in vars(VIEWS[name]()).values() if isinstance(value, kinds)]
    assert all(control.description for control in controls)


def test_a_step_is_fast():
    for view in (widgets.scrub(clip(10, 108, 192)), overlay(rendering(10, 108, 192))):
        begin = time.perf_counter()
        for frame in range(1, 10):
            view.slider.value = frame
        assert (time.perf_counter() - begin) / 9 < 0.1
