"""How pages look on a phone, a tablet and a desk: nothing overlaps, is clipped or too small."""

import numpy as np
import pytest

from losslandscape.draw.film import read
from losslandscape.draw.web import marks
from losslandscape.draw.web.film_page import write_film_page
from losslandscape.draw.web.surface_page import write_surface_page
from tests.draw.web.browsing import move, open_page, screenshot, settle, wait_for
from tests.draw.web.pages import bowl, write_path, write_plane
from tests.helpers import write_surface_file

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("inside")]

SIZES = [(1440, 900), (390, 844), (768, 1024)]  # one after the other, so each follows a change of size
BOXES = """
const parts = [
  "h1", "h2", "header p", "button", "select", ".bar .title", ".bar .colours", ".plot", "#steps input",
  "#steps output", "#notes", "#note", "summary",
];
const boxes = {};
for (const part of parts) {
  for (const [i, element] of [...document.querySelectorAll(part)].entries()) {
    const {left, top, right, bottom} = element.getBoundingClientRect();
    const name = `${part} ${i} ${element.textContent}`;
    if (right > left && bottom > top) boxes[name] = [left, top, right, bottom];
  }
}
for (const tick of document.querySelectorAll(".ticks span")) {
  if (tick.style.visibility !== "visible") continue;
  const {left, top, right, bottom} = tick.getBoundingClientRect();
  boxes[`tick ${tick.textContent}`] = [left, top, right, bottom];
}
return boxes;
"""
HIDDEN_WIDTH = "return document.documentElement.scrollWidth - document.documentElement.clientWidth;"
TEXTS = """
const texts = [];
for (const element of document.querySelectorAll("body, body *:not(script)")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length || element.closest(".js-plotly-plot .hoverlayer")) continue;
  const {fontSize, color, fill} = getComputedStyle(element);
  const inPlot = element instanceof SVGElement;
  const clipped = !inPlot && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
  texts.push([element.textContent, parseFloat(fontSize), inPlot ? fill : color, clipped]);
}
return [texts, getComputedStyle(document.body).backgroundColor];
"""
SMALL_BUTTONS = """
return [...document.querySelectorAll("button, select, summary, input")].filter(button => {
  const {width, height} = button.getBoundingClientRect();
  return width < 40 || height < 40;
}).map(button => button.outerHTML);
"""
UNNAMED_BUTTONS = """
const named = element => (element.getAttribute("aria-label") ?? element.textContent).trim();
return [...document.querySelectorAll("button, select, input, .plot")].filter(element => !named(element))
  .map(element => element.outerHTML);
"""
PLOT_BOX = """
const plot = document.querySelectorAll(".plot")[arguments[0]];
const {left, top, width, height} = plot.getBoundingClientRect();
return [left, top, width, height, plot._fullLayout.width, plot._fullLayout.height];
"""
HIDDEN_TRACES = """
return [...document.querySelectorAll(".plot")].map(plot =>
  plot.data.flatMap((trace, i) => (trace.visible === false ? [i] : [])));
"""
CAMERAS = "return [...document.querySelectorAll('.plot')].map(plot => plot._fullLayout.scene.camera.eye);"


def lines():
    x = np.linspace(-0.5, 1.5, 41)
    loss = 0.01 + 40 * (x * (1 - x)) ** 2
    quantities = {"train_loss": loss, "test_loss": loss + 0.3, "train_acc": 100 - loss, "test_acc": 90 - loss}
    write_surface_file("line.h5", x=x, quantities=quantities)
    return write_surface_page("line.h5")


def plane():
    """A plane with holes and a trajectory."""
    loss = bowl(21, 17)[2]
    loss[3:6, 4:8], loss[0, 0], loss[10, 3] = np.nan, np.inf, -1.5
    path = write_path(np.linspace(0.9, 0, 6), np.linspace(0.9, 0, 6), epochs=np.arange(6))
    return write_surface_page(write_plane(nx=21, ny=17, values=loss), proj_file=path, zmax=5)


def several():
    files = [
        write_plane(f"{name}.h5", values=height * bowl(9, 7)[2])
        for name, height in zip("abc", (1, 2, 9), strict=True)
    ]
    titles = ["A net with shortcuts and a long name", "Another_net_whose_name_has_no_spaces_at_all.t7", "C"]
    return write_surface_page(files, titles=titles, own_scale=True, log=True)


def film():
    files = [write_plane(f"s{k}.h5", names=["train_loss"], values=bowl(9, 7)[2] / (1 + k)) for k in range(3)]
    reel = read(files, titles=["epoch 0", "epoch 10", "a checkpoint with a long title of many words"])
    return write_film_page(reel, "film.html", log=True)


def resize(browser, width, height, *, theme="light"):
    """Change the size of the open page, as a user does who turns a phone, and wait for the plots."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    settle(browser)
    settle(browser)


@pytest.fixture(autouse=True)
def same_size_after(browser):
    yield
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("write", [lines, plane, several, film])
def test_nothing_overlaps_is_clipped_or_too_small(browser, write):
    resize(browser, *SIZES[-1])
    open_page(browser, write())
    for width, height in SIZES:
        resize(browser, width, height)
        assert_apart(browser.execute_script(BOXES), width)
        assert browser.execute_script(HIDDEN_WIDTH) == 0
        texts, _ = browser.execute_script(TEXTS)
        assert len(texts) > 5
        assert [text for text, size, _, clipped in texts if size < 11 or clipped] == []
        assert browser.execute_script(SMALL_BUTTONS) == []
        assert browser.execute_script(UNNAMED_BUTTONS) == []
        assert_plots_fit(browser)


def assert_apart(boxes, width):
    """All boxes lie side by side within the width."""
    assert len(boxes) > 6
    for name, (left, _, right, _) in boxes.items():
        assert left >= 0 and right <= width, name
    all_boxes = list(boxes.items())
    for i, (name, (left, top, right, bottom)) in enumerate(all_boxes):
        for other, (left_2, top_2, right_2, bottom_2) in all_boxes[:i]:
            across = min(right, right_2) - max(left, left_2)
            down = min(bottom, bottom_2) - max(top, top_2)
            assert min(across, down) < 1, (name, other)


def assert_plots_fit(browser):
    """Each plot fills its box, and no drawn thing reaches the left or right edge, where it would be cut."""
    for i in range(len(browser.find_elements("css selector", ".plot"))):
        browser.execute_script(
            f"document.querySelectorAll('.plot')[{i}].scrollIntoView({{block: 'center'}});"
        )
        settle(browser)
        left, top, width, height, drawn_width, drawn_height = browser.execute_script(PLOT_BOX, i)
        assert (width, height) == pytest.approx((drawn_width, drawn_height), abs=1)
        assert height >= 300
        pixels = screenshot(browser)[
            max(round(top), 0) : round(top + height), round(left) : round(left + width)
        ]
        for edge in (pixels[:, :2], pixels[:, -2:]):
            assert np.ptp(edge, axis=(0, 1)).max() < 12


@pytest.mark.parametrize("write", [lines, plane])
def test_texts_have_contrast_in_both_themes(browser, write):
    resize(browser, 390, 844, theme="dark")
    open_page(browser, write())
    assert_contrast(browser, darkest=True)
    browser.find_element("id", "theme").click()
    settle(browser)
    assert_contrast(browser, darkest=False)


def assert_contrast(browser, *, darkest):
    texts, back = browser.execute_script(TEXTS)
    assert (luminance(back) < 0.1) == darkest
    for text, _, colour, _ in texts:
        lighter, darker = sorted([luminance(colour), luminance(back)], reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, text


def luminance(colour):
    """The relative luminance of a CSS colour, from WCAG 2.1."""
    shares = [float(part) / 255 for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_turning_or_hiding_in_one_plot_does_so_in_all(browser):
    resize(browser, 1440, 900)
    open_page(browser, several())
    before = browser.execute_script(CAMERAS)
    plot = browser.find_elements("css selector", ".plot")[1]
    move(browser, plot, 0, 0).click_and_hold().move_by_offset(90, 20).release().perform()
    settle(browser)
    settle(browser)
    first, second, third = browser.execute_script(CAMERAS)
    assert first == pytest.approx(second) and third == pytest.approx(second)
    assert abs(second["x"] - before[1]["x"]) > 0.1
    browser.find_element("id", "reset").click()
    settle(browser)
    assert all(
        eye == pytest.approx(was) for eye, was in zip(browser.execute_script(CAMERAS), before, strict=True)
    )
    browser.find_elements("css selector", "#legend button")[0].click()
    settle(browser)
    assert browser.execute_script(HIDDEN_TRACES) == [[3, 4]] * 3


def test_fingers_turn_and_zoom_all_surfaces(browser):
    resize(browser, 390, 844)
    open_page(browser, several())
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    browser.execute_script("document.querySelector('.plot').scrollIntoView({block: 'center'});")
    before = browser.execute_script(CAMERAS)[0]
    touch(browser, [[(150 + 10 * i, 420)] for i in range(5)])
    first, *others = browser.execute_script(CAMERAS)
    assert first["z"] == pytest.approx(before["z"]) and abs(first["x"] - before["x"]) > 0.1
    assert all(eye == pytest.approx(first) for eye in others)
    touch(browser, [[(180 - 10 * i, 420), (210 + 10 * i, 420)] for i in range(5)])
    nearer, *others = browser.execute_script(CAMERAS)
    assert nearer["z"] < 0.6 * first["z"]
    assert all(eye == pytest.approx(nearer) for eye in others)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def touch(browser, way):
    """Touch places one after the other, each a list with a place per finger."""
    for i, places in enumerate(way):
        points = [{"x": x, "y": y} for x, y in places]
        event = {"type": "touchMove" if i else "touchStart", "touchPoints": points}
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", event)
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    settle(browser)
    settle(browser)


def test_the_centre_is_seen_above_a_deep_valley(browser):
    x = np.linspace(-1, 1, 21)
    r = np.hypot(x[None], x[:, None])
    write_surface_file("deep.h5", x=x, y=x, quantities={"train_loss": 1e-4 + np.minimum(r, 0.15) ** 3})
    resize(browser, 1440, 900)
    open_page(browser, write_surface_page("deep.h5"))
    red, green, blue = (int(marks.MINIMISER.colour[i : i + 2], 16) for i in (1, 3, 5))
    near = np.abs(screenshot(browser) - [red, green, blue]).max(axis=-1) < 40
    rows = np.flatnonzero(near[150:600].sum(axis=1))
    assert near[150:600].sum() > 60 and np.ptp(rows) > 20


def test_notes_are_those_of_the_view(browser):
    values = np.geomspace(1e-3, 1e6, 63).reshape(7, 9)
    open_page(browser, write_surface_page(write_plane(values=values, names=["train_loss"])))
    note = "return document.getElementById('note').textContent"
    assert browser.execute_script(note) == ""
    browser.find_elements("css selector", "#views button")[0].click()
    wait_for(browser, "return document.getElementById('note').textContent.includes('is cut off at')", True)
