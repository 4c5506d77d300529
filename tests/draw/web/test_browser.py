"""What a browser without a network makes of a page."""

import time

import numpy as np
import pytest
from PIL import Image

from losslandscape.draw.web.surface_page import write_surface_page
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.draw.web.browsing import (
    PATIENCE,
    assert_no_complaints,
    changed,
    is_coloured,
    move,
    open_page,
    picture,
    settle,
    wait_for,
)
from tests.draw.web.pages import LABELS, VIEWS, bowl, numbers, write_path, write_plane
from tests.helpers import write_surface_file

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("inside")]

BUTTON = "#views button"
PLACES_TO_POINT_AT = ((-60, -40), (40, -60), (-20, -90), (60, -50), (-80, -30))  # pixels from the middle

KEEP_HOVERED = """
document.querySelector('.plot').on('plotly_hover', event => window.hovered = event.points[0]);
"""
HOVERED = """
const text = document.querySelector('.hovertext')?.textContent;
return [window.hovered?.data.name, window.hovered?.x, window.hovered?.y, text];
"""
HEIGHTS_AND_TITLE = """
const plot = document.querySelector('.plot');
return [plot.data[0].z, plot.layout.scene.zaxis.title.text];
"""
POLE = "return document.querySelector('.plot').data.at(-1).x[0];"
INJECTED = """
const foreign = document.querySelectorAll('main img, footer img, h1 script').length;
return [window.injected ?? null, foreign];
"""


def test_the_surface_is_drawn_switched_and_pointed_at(browser):
    path = write_path([0.9, 0.5, 0.2, 0], [0.9, 0.5, 0.1, 0])
    open_page(browser, write_surface_page(write_plane(nx=21, ny=16), proj_file=path))
    first = picture(browser)
    assert is_coloured(first).mean() > 0.1
    assert len(np.unique(first[is_coloured(first)], axis=0)) > 300

    surface = h5_util.read_surface("s.h5")
    assert len(points_with_right_texts(browser, surface)) >= 3

    move(browser, browser.find_element("css selector", ".plot"), 0, 0).perform()
    browser.find_elements("css selector", BUTTON)[VIEWS.index("log train loss")].click()
    settle(browser)
    heights, title = browser.execute_script(HEIGHTS_AND_TITLE)
    assert np.allclose(numbers(heights), np.log10(surface.get("train_loss")), rtol=1e-6)
    assert title == "log train loss"
    assert changed(picture(browser), first).mean() > 0.05
    assert_no_complaints(browser)


def points_with_right_texts(browser, surface):
    """Row and column of each point at which the mouse shows the right text."""
    browser.execute_script(KEEP_HOVERED)
    figure = browser.find_element("css selector", ".plot")
    points = set()
    for across, down in PLACES_TO_POINT_AT:
        move(browser, figure, across, down).perform()
        settle(browser)
        name, x, y, text = browser.execute_script(HOVERED)
        if not text or name != "surface":
            continue
        row, column = int(np.argmin(np.abs(surface.y - y))), int(np.argmin(np.abs(surface.x - x)))
        place = f"α = {surface.x[column]:.4g}, β = {surface.y[row]:.4g}"
        values = [f"{label} = {surface.get(name)[row, column]:.5g}" for name, label in LABELS.items()]
        assert text == "".join([place, *values])
        points.add((row, column))
    return points


def test_texts_of_a_file_are_texts_in_the_page(browser):
    bad = "<img src=x onerror=window.injected=1></script><script>window.injected=1</script>"
    file = "a<script>window.injected=1<script>.h5"
    x, y, loss = bowl(5, 4)
    runs = [{"command": f"python plot_surface.py {bad}"}]
    quantities = {"train_loss": loss, bad.replace("/", "|"): np.where(loss > 2, np.nan, loss)}
    surface = Surface(file, x=x, y=y, quantities=quantities, dir_file=f"d{bad}", runs=runs)
    h5_util.write_surface(surface)
    open_page(browser, write_surface_page(file))
    assert browser.execute_script(INJECTED) == [None, 0]
    assert browser.title == file.removesuffix(".h5")
    assert browser.execute_script("return document.querySelector('code').textContent") == runs[0]["command"]
    assert_no_complaints(browser)


@pytest.mark.nightly
def test_a_training_is_played_on_a_surface_full_of_holes(browser):
    """Plotly's own contours would hang the browser at such a surface."""
    _, _, loss = bowl(21, 21)
    holes = np.random.default_rng(0).random((21, 21)) < 0.3
    path = write_path(np.linspace(0.9, 0, 5), np.linspace(0.9, 0, 5))
    write_plane(nx=21, ny=21, values=np.where(holes, np.nan, loss))
    open_page(browser, write_surface_page("s.h5", proj_file=path))
    assert is_coloured(picture(browser)).mean() > 0.02
    assert browser.execute_script(POLE) == 0
    end = picture(browser)
    rail = browser.find_element("id", "step")
    move(browser, rail, -rail.size["width"] // 4, 0).click().perform()
    wait_for(browser, POLE, 0.675)
    settle(browser)
    assert changed(picture(browser), end).sum() > 20
    browser.find_element("id", "play").click()
    wait_for(browser, POLE, 0)
    assert_no_complaints(browser)


@pytest.mark.nightly
def test_curves_are_drawn_and_switched(browser):
    x = np.linspace(-1, 1, 21)
    quantities = {"train_loss": 0.01 + x**2 / 2, "test_acc": 90 - 50 * x**2}
    write_surface_file("s.h5", x=x, quantities=quantities)
    open_page(browser, write_surface_page("s.h5"))
    assert len(browser.find_elements("css selector", ".scatterlayer .js-line, .overplot .js-line")) >= 2
    axis_type = "return document.querySelector('.plot')._fullLayout.yaxis.type"
    assert browser.execute_script(axis_type) == "linear"
    browser.find_elements("css selector", BUTTON)[1].click()
    settle(browser)
    assert browser.execute_script(axis_type) == "log"
    assert_no_complaints(browser)


def test_a_picture_is_saved_under_the_title(browser, tmp_path):
    open_page(browser, write_surface_page(write_plane(), titles=["A net"]))
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    browser.find_element("id", "save").click()
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "A net.png").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    pixels = np.asarray(Image.open(tmp_path / "A net.png").convert("RGB")).astype(int)
    assert is_coloured(pixels).mean() > 0.02
