"""What a learner does: open a chapter, run all of it, move the widgets by mouse and by keyboard."""

import os
import time
from pathlib import Path

import pytest

from coordflow_mini.show.demo_page import demo_page_html
from tests.web import clip, rendering, run

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "runs" / "browser"
IN_BOTH_THEMES = ("00", "03", "04")  # pictures bring their own ground, and every chapter uses the same ones
IN_CI = ("00", "03")  # every night all of them; each time, all run without a browser
ALL = os.environ.get("COORDFLOW_BROWSER") == "all"
CHAPTERS = [
    path.stem
    for path in sorted(ROOT.glob("chapters/*.ipynb"))
    if path.stem[:2] in IN_CI or (ALL and path.stem[:2] not in ("01", "02"))
]

PICTURES = "node => [...node.querySelectorAll('img')].map(img => img.src).join()"
TRACEBACKS = "() => [...document.querySelectorAll('[data-mime-type*=\"error\"]')].map(node => node.innerText)"
DONE = r"""() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    .every(prompt => /\d/.test(prompt.innerText))"""
IDLE = """() => { const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus == 'connected' && kernel.status == 'idle'; }"""
OUTERMOST = ".jp-OutputArea-output .jupyter-widgets:not(.jupyter-widgets .jupyter-widgets)"


@pytest.fixture(params=["light", "dark"])
def page(request, browser):
    """A fresh browser window in either theme."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, color_scheme=request.param)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.theme = request.param
    yield page
    context.close()


def run_all(page, lab, notebook: str) -> None:
    """Open a notebook and run every cell; returns when the last one is done."""
    page.goto(lab.url(f"{notebook}.ipynb"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function("() => window.jupyterapp !== undefined")
    execute = "([name, values]) => { jupyterapp.commands.execute(name, values); }"  # does not wait
    page.evaluate(execute, ["apputils:change-theme", {"theme": f"JupyterLab {page.theme.title()}"}])
    is_light = "true" if page.theme == "light" else "false"
    page.wait_for_selector(f"body[data-jp-theme-light={is_light}]", state="attached")
    page.wait_for_function(IDLE)
    page.evaluate(execute, ["notebook:run-all-cells", {}])
    page.wait_for_function(DONE, timeout=400_000)


@pytest.mark.parametrize("notebook", CHAPTERS)
def test_a_chapter_runs_and_its_widgets_move(page, lab, notebook):
    if page.theme == "dark" and notebook[:2] not in IN_BOTH_THEMES:
        pytest.skip("looked at in the light theme")
    run_all(page, lab, notebook)
    assert not page.evaluate(TRACEBACKS)
    views = page.query_selector_all(OUTERMOST)
    assert views, "no widget is shown"
    for number, view in enumerate(views):
        view.scroll_into_view_if_needed()
        handle = view.query_selector(".noUi-handle")
        if handle is not None:
            move(page, view, handle)
        view.screenshot(path=SHOTS / f"{notebook}-{page.theme}-widget-{number}.png")
    photograph(page, f"{notebook}-{page.theme}")


def move(page, view, handle) -> None:
    """One slider, by the arrow keys and by dragging; the pictures must change both times."""
    before = view.evaluate(PICTURES)
    handle.focus()
    page.keyboard.press("ArrowRight")
    before = changed(view, before, "the arrow key")
    box, track = handle.bounding_box(), view.query_selector(".noUi-base").bounding_box()
    middle = box["x"] + box["width"] / 2
    target = 0.7 if middle < track["x"] + track["width"] / 2 else 0.3  # a slider may have two places only
    page.mouse.move(middle, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + target * track["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    changed(view, before, "the mouse")


def changed(view, before: str, by: str) -> str:
    """The pictures now, once they differ."""
    for _ in range(100):
        now = view.evaluate(PICTURES)
        if now != before:
            return now
        time.sleep(0.1)
    raise AssertionError(f"no picture changed by {by}")


def photograph(page, name: str) -> None:
    """Screenshots of the whole notebook, page by page."""
    height = page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollHeight")
    for number, top in enumerate(range(0, height, 1200)):
        page.evaluate("top => document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, top)", top)
        page.wait_for_timeout(150)
        page.screenshot(path=SHOTS / f"{name}-{number:02d}.png")


def test_the_demo_page_moves(page, tmp_path):
    video, decoded = clip(6, 72, 128), clip(6, 72, 128, noise=9)
    file = tmp_path / "demo.html"
    text = demo_page_html(run(video, decoded), video, decoded, rendering(video))
    file.write_text(text, encoding="utf-8")
    page.goto(file.as_uri())
    where = "() => getComputedStyle(document.querySelector('.screen')).backgroundPosition"
    first = page.evaluate(where)
    page.focus("#frame")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"before => ({where})() != before", arg=first)
    second = page.evaluate(where)
    box = page.query_selector("#frame").bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_function(f"before => ({where})() != before", arg=second)
    page.screenshot(path=SHOTS / f"demo-{page.theme}.png", full_page=True)
