"""The scrubber by its laws: in step, fast, refused where it makes no sense, visible without a kernel."""

import io
import time
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from coordflow_mini import plots
from coordflow_mini.video import Video

widgets = pytest.importorskip("coordflow_mini.widgets", reason="ipywidgets is not installed")


def clip(frames: int = 6, height: int = 18, width: int = 32, name: str = "clip:test") -> Video:
    index = np.arange(frames, dtype=np.uint8).reshape(-1, 1, 1, 1) * 30
    return Video(np.broadcast_to(index, (frames, height, width, 3)).copy(), Fraction(25), name)


def shown_gray(scrubber: "widgets.Scrubber") -> list[float]:
    """Mean gray level of each picture on show."""
    return [np.asarray(Image.open(io.BytesIO(image.value))).mean() for image in scrubber.images]


def test_the_slider_has_as_many_steps_as_frames():
    scrubber = widgets.scrub(clip(6))
    for control in (scrubber.slider, scrubber.play):
        assert (control.min, control.max, control.step) == (0, 5, 1)


def test_every_step_shows_its_frame_in_all_pictures():
    later = Video(clip().frames + 9, Fraction(25), "later")
    scrubber = widgets.scrub([clip(), later])
    for frame in (3, 5, 0, 1):
        scrubber.slider.value = frame
        assert shown_gray(scrubber) == pytest.approx([30 * frame, 30 * frame + 9], abs=1.5)
        assert f"frame {frame}, {frame / 25:.2f} s" in scrubber.now.value


def test_panels_of_a_coded_clip_go_straight_in():
    scrubber = widgets.scrub(plots.panels(clip(), clip()))
    assert len(scrubber.images) == 3
    assert shown_gray(scrubber)[2] == 0  # the error of a clip against itself


def test_a_step_takes_less_than_50_ms():
    scrubber = widgets.scrub(plots.panels(clip(20, 108, 192), clip(20, 108, 192)))
    start = time.perf_counter()
    for frame in range(1, 20):
        scrubber.slider.value = frame
    assert (time.perf_counter() - start) / 19 < 0.05


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
    alt = plots.alt_text(scrubber.figure)
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


def test_what_cannot_be_scrubbed_together_is_refused():
    with pytest.raises(ValueError, match=r"one length, got lengths \[6, 5\]"):
        widgets.scrub([clip(6), clip(5)])
    with pytest.raises(ValueError, match="one or more"):
        widgets.scrub([])
    with pytest.raises(ValueError, match="titles must be one per video, got 1 for 2"):
        widgets.scrub([clip(), clip()], titles=["only one"])
