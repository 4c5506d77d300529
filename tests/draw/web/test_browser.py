"""What a browser without a network makes of a page."""

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from losslandscape.draw.web.surface_page import write_surface_page
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.draw.web.pages import LABELS, VIEWS, bowl, numbers, write_path, write_plane
from tests.helpers import write_surface_file

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("inside")]

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--use-angle=swiftshader --enable-unsafe-swiftshader --window-size=700,600"
).split()
PATIENCE = 120  # seconds
BUTTON = ".updatemenu-button"
PLACES_TO_POINT_AT = ((-60, -40), (40, -60), (-20, -90), (60, -50), (-80, -30))  # pixels from the middle

IS_DRAWN = """
const plot = document.querySelector('.js-plotly-plot');
return Boolean(plot?._fullLayout?.xaxis || document.querySelector('.gl-container canvas'));
"""
AFTER_TWO_FRAMES = """
const done = arguments[0];
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100)));
"""
KEEP_HOVERED = """
document.getElementById('figure').on('plotly_hover', event => window.hovered = event.points[0]);
"""
HOVERED = """
const text = document.querySelector('.hovertext')?.textContent;
return [window.hovered?.data.name, window.hovered?.x, window.hovered?.y, text];
"""
HEIGHTS_AND_TITLE = """
const plot = document.getElementById('figure');
return [plot.data[0].z, plot.layout.scene.zaxis.title.text];
"""
LARGEST_MARK = """
const sizes = document.getElementById('figure').data.at(-1).marker.size;
return sizes.indexOf(Math.max(...sizes));
"""
INJECTED = """
const foreign = document.querySelectorAll('main img, footer img, h1 script').length;
return [window.injected ?? null, foreign];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip(f"there is no {CHROMIUM} or {DRIVER}; install Debian's chromium and chromium-driver")
    reason = "selenium is not installed; pip install selenium"
    webdriver = pytest.importorskip("selenium.webdriver", reason=reason)
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


def open_page(browser, page):
    """Open a page and wait until it is drawn; the logs then hold what this page does."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(Path(page).absolute().as_uri())
    wait_for(browser, IS_DRAWN, True)
    settle(browser)


def settle(browser):
    """Let two frames be drawn."""
    browser.execute_async_script(AFTER_TWO_FRAMES)


def wait_for(browser, script, value):
    end = time.monotonic() + PATIENCE
    while browser.execute_script(script) != value:
        assert time.monotonic() < end, script
        time.sleep(0.1)


def move(browser, element, across, down):
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser)
    actions.move_to_element_with_offset(element, across, down)
    return actions


def picture(browser):
    """The middle of the page as an array of pixels: the surface, without buttons and texts."""
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    pixels = np.asarray(image).astype(int)
    height, width, _ = pixels.shape
    return pixels[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4]


def is_coloured(pixels):
    return np.ptp(pixels, axis=-1) > 40


def changed(pixels, before):
    return np.abs(pixels - before).max(axis=-1) > 20


def assert_no_complaints(browser):
    """The console has no errors, and the page asks for nothing but files and what is in it."""
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    addresses = [request["request"]["url"] for request in requests]
    assert any(address.startswith("file:") for address in addresses)
    assert [address for address in addresses if not address.startswith(("file:", "data:", "blob:"))] == []


def test_the_surface_is_drawn_switched_and_pointed_at(browser):
    path = write_path([0.9, 0.5, 0.2, 0], [0.9, 0.5, 0.1, 0])
    open_page(browser, write_surface_page(write_plane(nx=21, ny=17), proj_file=path))
    first = picture(browser)
    assert is_coloured(first).mean() > 0.1
    assert len(np.unique(first[is_coloured(first)], axis=0)) > 300

    surface = h5_util.read_surface("s.h5")
    assert len(points_with_right_texts(browser, surface)) >= 3

    move(browser, browser.find_element("id", "figure"), 0, 0).perform()
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
    figure = browser.find_element("id", "figure")
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
    assert browser.title == file
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
    assert is_coloured(picture(browser)).mean() > 0.03
    assert browser.execute_script(LARGEST_MARK) == 4
    end = picture(browser)
    rail = browser.find_element("css selector", ".slider-rail-touch-rect")
    move(browser, rail, -rail.size["width"] // 4, 0).click().perform()
    settle(browser)
    assert browser.execute_script(LARGEST_MARK) == 1
    assert changed(picture(browser), end).sum() > 20
    buttons = browser.find_elements("css selector", BUTTON)
    next(button for button in buttons if button.text == "Play").click()
    wait_for(browser, LARGEST_MARK, 4)
    assert_no_complaints(browser)


@pytest.mark.nightly
def test_curves_are_drawn_and_switched(browser):
    x = np.linspace(-1, 1, 21)
    quantities = {"train_loss": 0.01 + x**2 / 2, "test_acc": 90 - 50 * x**2}
    write_surface_file("s.h5", x=x, quantities=quantities)
    open_page(browser, write_surface_page("s.h5"))
    assert len(browser.find_elements("css selector", ".scatterlayer .js-line, .overplot .js-line")) >= 2
    axis_type = "return document.getElementById('figure')._fullLayout.yaxis.type"
    assert browser.execute_script(axis_type) == "linear"
    browser.find_elements("css selector", BUTTON)[1].click()
    settle(browser)
    assert browser.execute_script(axis_type) == "log"
    assert_no_complaints(browser)
