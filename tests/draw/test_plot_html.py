"""The interactive page: what its JSON holds, and what a browser without a network makes of it."""

import io
import json
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from losslandscape.cli import plot_html
from losslandscape.core.errors import InputError
from losslandscape.draw.web import interactive, interactive_film
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface
from tests.helpers import succeed, write_surface_file

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader --window-size=700,600"
).split()
QUANTITIES = ("train_loss", "train_acc", "test_loss", "test_acc")
LABELS = {
    "train_loss": "train loss",
    "train_acc": "train accuracy (%)",
    "test_loss": "test loss",
    "test_acc": "test accuracy (%)",
}
VIEWS = [
    "train loss",
    "log train loss",
    "train accuracy (%)",
    "test loss",
    "log test loss",
    "test accuracy (%)",
]


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def bowl(nx, ny):
    x, y = np.linspace(-1, 1, nx), np.linspace(-0.5, 1, ny)
    return x, y, 0.2 + 8 * x[None] ** 2 + 3 * y[:, None] ** 2 + x[None]


def surface(path="s.h5", nx=9, ny=7, *, names=QUANTITIES, values=None, measured=None):
    """Losses that no two points have in common, unless `values` replaces them; accuracies fall with the distance from the centre."""
    x, y, loss = bowl(nx, ny)
    made = {
        name: 100 * np.exp(-loss)
        if name.endswith("acc")
        else (loss if values is None else np.broadcast_to(values, loss.shape))
        for name in names
    }
    made |= {name: made[name] + 0.5 for name in names if name == "test_loss"}
    write_surface_file(path, x=x, y=y, quantities=made, measured=measured, dir_file="d.h5")
    return path


def trajectory(x, y, path="d.h5_proj_cos.h5"):
    with h5py.File(path, "w") as file:
        file["proj_xcoord"], file["proj_ycoord"] = np.array(x, float), np.array(y, float)
    return path


def figure_of(page):
    """The traces and the layout in a page, read as strictly as a browser reads them."""
    text = Path(page).read_text()
    at = text.rindex("Plotly.newPlot(")
    decoder = json.JSONDecoder(parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found = []
    for begin in "[{":
        value, at = decoder.raw_decode(text, text.index(begin, at))
        found.append(value)
    return found


def frames_of(page):
    """The frames in a page."""
    text = Path(page).read_text()
    at = text.index("[", text.rindex("Plotly.addFrames("))
    return json.JSONDecoder(parse_constant=lambda name: pytest.fail(f"{name} is not JSON")).raw_decode(
        text, at
    )[0]


def shown(page):
    """The heights that each button shows, by its label; NaN in holes."""
    data, layout = figure_of(page)
    buttons = layout["updatemenus"][0]["buttons"]
    return {button["label"]: numbers(button["args"][0]["z"][0]) for button in buttons}, data, layout


def numbers(nested):
    return np.array(nested, float)


def trace(data, name):
    return next(trace for trace in data if trace["name"].startswith(name))


# What is in the page ------------------------------------------------------------------------------------------------------


def test_every_quantity_of_the_file_is_in_the_page_as_it_is_measured():
    heights, data, _ = shown(plot_html.write_html(surface()))
    file = h5_util.read_surface("s.h5")
    assert list(heights) == VIEWS
    for name, view in LABELS.items():
        assert np.allclose(heights[view], file.get(name), rtol=1e-6, atol=0)
    assert np.allclose(heights["log test loss"], np.log10(file.get("test_loss")), rtol=1e-6)
    drawn = trace(data, "surface")
    assert np.array_equal(drawn["x"], file.x) and np.array_equal(drawn["y"], file.y)
    assert drawn["text"][2][5] == "<br>".join(
        ["α = 0.25, β = 0", *(f"{label} = {file.get(name)[2, 5]:.5g}" for name, label in LABELS.items())]
    )


def test_the_extreme_and_the_centre_are_marked():
    _, data, layout = shown(plot_html.write_html(surface()))
    x, y, loss = bowl(9, 7)
    row, column = np.unravel_index(np.argmin(loss), loss.shape)
    mark = trace(data, "lowest train loss")
    on_surface = numbers(mark["z"])[: len(mark["z"]) // 2]
    ring = numbers(mark["x"])[: on_surface.size], numbers(mark["y"])[: on_surface.size]
    assert np.mean(ring[0][1:]) == pytest.approx(x[column], abs=1e-3)
    assert np.mean(ring[1][1:]) == pytest.approx(y[row], abs=1e-3)
    assert f"train loss = {loss[row, column]:.5g}" in mark["hovertemplate"]
    best = layout["updatemenus"][0]["buttons"][VIEWS.index("train accuracy (%)")]["args"][0]["hovertemplate"]
    assert any(
        "highest train accuracy" in text
        and f"train accuracy (%) = {100 * np.exp(-loss[row, column]):.5g}" in text
        for text in best
    )
    assert trace(data, "centre")["showlegend"]


def test_a_trajectory_lies_on_the_surface_and_ends_at_its_edge(capsys):
    page = plot_html.write_html(
        surface(nx=41, ny=31), proj_file=trajectory([2, 0.5, 0.2, 0], [0.9, 0.5, 0.1, 0])
    )
    assert (
        "1 of 4 checkpoints of d.h5_proj_cos.h5 lie outside the surface's grid and are left out."
        in capsys.readouterr().out
    )
    assert "1 of 4 checkpoints" in Path(page).read_text()
    heights, data, _ = shown(page)
    line, dots = trace(data, "trajectory"), trace(data, "checkpoints")
    half = len(line["x"]) // 2
    x, y, z = (numbers(line[axis])[:half] for axis in "xyz")
    assert np.array_equal(np.isfinite(z), x <= 1)
    assert x[np.isfinite(z)].max() > 0.95
    height = np.ptp(heights["train loss"])
    above = z - (0.2 + 8 * x**2 + 3 * y**2 + x)
    assert np.nanmin(above) > 0 and np.nanmax(above) < 0.02 * height
    assert dots["z"][0] is None and None not in dots["z"][1:4]
    assert dots["customdata"][1][-1] == "checkpoint 2 of 4"
    assert float(dots["customdata"][3][0]) == pytest.approx(0.2, rel=1e-4)


def test_a_slider_goes_over_the_checkpoints():
    epochs = np.array([0, 3, 10, 30])
    h5_util.write_projection(
        Projection(
            "d.h5_proj_cos.h5", np.array([0.9, 0.5, 0.2, 0]), np.array([0.9, 0.5, 0.1, 0]), epochs=epochs
        )
    )
    page = plot_html.write_html(surface(nx=41, ny=31), proj_file="d.h5_proj_cos.h5")
    data, layout = figure_of(page)
    assert [step["label"] for step in layout["sliders"][0]["steps"]] == [f"epoch {epoch}" for epoch in epochs]
    assert layout["sliders"][0]["active"] == 3
    line, dots = trace(data, "trajectory"), trace(data, "checkpoints")
    times = numbers(line["line"]["color"][: len(line["x"]) // 2])
    assert np.allclose(
        np.interp(times, range(4), [0.9, 0.5, 0.2, 0]), numbers(line["x"])[: times.size], atol=1e-3
    )
    for i, frame in enumerate(frames_of(page)):
        of_line, of_dots = frame["data"]
        assert [data[place]["name"] for place in frame["traces"]] == ["trajectory", "checkpoints"]
        assert of_dots["marker"]["size"] == [*sizes(i), interactive_film.SIZE, *sizes(i)]
        for scale, cmax in (
            (of_line["line"]["colorscale"], line["line"]["cmax"]),
            (of_dots["marker"]["colorscale"], dots["marker"]["cmax"]),
        ):
            past = [place for place, colour in scale if colour == interactive.TRAJECTORY_COLOUR]
            assert i <= max(past) * cmax < i + 0.1
    assert "sliders" not in figure_of(plot_html.write_html(surface()))[1]


def sizes(now):
    return [interactive_film.SIZE_NOW if i == now else interactive_film.SIZE for i in range(4)]


def test_contours_lie_where_the_surface_has_their_value():
    data, _ = figure_of(plot_html.write_html(surface(nx=81, ny=61)))
    lines = trace(data, "contours")
    half = len(lines["x"]) // 2
    x, y, z = (numbers(lines[axis])[:half] for axis in "xyz")
    assert np.nanmax(np.abs(z - (0.2 + 8 * x**2 + 3 * y**2 + x))) < 0.15
    assert len(np.unique(z[np.isfinite(z)])) == interactive.CONTOURS[0]
    assert (
        len(np.unique(numbers(lines["z"])[half + 1 : -1][np.isfinite(numbers(lines["z"])[half + 1 : -1])]))
        == 1
    )


@pytest.mark.parametrize(
    ("values", "opens"),
    [(None, "train loss"), (np.geomspace(1e-3, 1e30, 63).reshape(7, 9), "log train loss")],
)
def test_a_huge_range_opens_as_a_logarithm_and_is_cut_off_without(values, opens):
    page = plot_html.write_html(surface(values=values, names=("train_loss",)))
    heights, _, layout = shown(page)
    assert list(heights)[layout["updatemenus"][0]["active"]] == opens
    assert ("is cut off at" in Path(page).read_text()) == (values is not None)
    if values is not None:
        assert np.allclose(heights["log train loss"], np.log10(values), atol=1e-6)
        top = heights["train loss"].max()
        assert np.array_equal(heights["train loss"] < top, values < top)
        assert np.isclose(np.mean(values <= top), 0.75, atol=0.02)


def test_a_height_can_be_asked_for():
    heights, _, _ = shown(plot_html.write_html(surface(), zmax=3, name="test_loss"))
    loss = h5_util.read_surface("s.h5").get("test_loss")
    assert np.allclose(heights["test loss"], np.minimum(loss, 3))
    assert heights["train accuracy (%)"].max() > 3


def test_holes_stay_holes():
    values = bowl(9, 7)[2] - 2
    values[2, 3], values[3, 4], values[5, 5] = np.nan, np.inf, 1e30
    page = plot_html.write_html(surface(values=values))
    heights, _, _ = shown(page)
    assert np.array_equal(np.isnan(heights["train loss"]), ~np.isfinite(values))
    assert np.array_equal(np.isnan(heights["log train loss"]), ~(np.isfinite(values) & (values > 0)))
    assert np.nanmax(heights["train loss"]) < 20
    assert "train loss, test loss: 2 points NaN or infinite." in Path(page).read_text().replace(
        "test loss, train loss", "train loss, test loss"
    )
    assert f"is zero or negative at {np.count_nonzero(values <= 0)} points" in Path(page).read_text()


def test_a_growing_file_shows_the_finest_grid_that_is_complete():
    measured = np.zeros((17, 17), bool)
    measured[::4, ::4] = measured[:6:2, ::2] = True
    values = np.where(measured, bowl(17, 17)[2], -1)
    page = plot_html.write_html(surface(nx=17, ny=17, names=("train_loss",), values=values))
    _, data, _ = shown(page)
    drawn = trace(data, "surface")
    assert np.array_equal(drawn["x"], np.linspace(-1, 1, 17)[::4])
    assert np.allclose(numbers(drawn["z"]), values[::4, ::4], rtol=1e-6, atol=0)
    waiting = np.count_nonzero(~measured)
    assert f"{waiting} of 289 points ({100 * waiting / 289:.0f} %) not computed yet" in Path(page).read_text()


@pytest.mark.parametrize(
    ("nx", "ny", "values"),
    [(3, 7, None), (9, 7, 2.0), (9, 7, 0.0), (5, 4, 1e250), (5, 4, -1e250), (5, 4, 1e37), (9, 7, 1e-300)],
)
def test_odd_surfaces_are_drawn(nx, ny, values):
    _, data, layout = shown(plot_html.write_html(surface(nx=nx, ny=ny, values=values)))
    low, high = layout["scene"]["zaxis"]["range"]
    assert low < high
    assert (
        np.abs(numbers(trace(data, "surface")["z"])[np.isfinite(numbers(trace(data, "surface")["z"]))]).max()
        <= 1e30
    )


@pytest.mark.parametrize("rough", [False, True])
def test_a_page_of_51x51_points_is_under_6_mb(rough):
    values = np.exp(np.random.default_rng(0).normal(size=(51, 51))) if rough else None
    page = plot_html.write_html(
        surface(nx=51, ny=51, values=values),
        proj_file=trajectory(np.linspace(1, 0, 300), np.linspace(1, 0, 300)),
    )
    assert Path(page).stat().st_size < 6e6


@pytest.mark.parametrize(
    ("file", "arguments", "says"),
    [
        ("nowhere.h5", (), "nowhere.h5"),
        ("point.h5", (), "at least 2x2 points"),
        ("row.h5", (), "at least 2x2 points"),
        ("nan.h5", (), "63 points NaN or infinite"),
        ("one.h5", (), "at least 2 points"),
        ("large.h5", (), "63 points too large to draw"),
        ("large_line.h5", (), "train_loss: 3 points too large to draw"),
        ("line.h5", ("--proj_file", "d.h5_proj_cos.h5"), "line.h5 is 1-D"),
        ("s.h5", ("--surf_name", "max_eig"), "'max_eig'"),
        ("s.h5", ("--proj_file", "s.h5"), "not a projection file"),
    ],
)
def test_one_sentence_and_status_2(file, arguments, says, capsys):
    surface()
    surface("point.h5", 1, 1)
    surface("row.h5", 9, 1)
    surface("nan.h5", values=np.nan, names=("train_loss",))
    surface("large.h5", values=1e250, names=("train_loss",))
    write_surface_file("large_line.h5", x=np.arange(3.0), quantities={"train_loss": np.full(3, 1e250)})
    write_surface_file("one.h5", x=np.zeros(1), quantities={"train_loss": np.ones(1)})
    write_surface_file("line.h5", x=np.arange(3.0), quantities={"train_loss": np.ones(3)})
    trajectory([0], [0])
    with pytest.raises(SystemExit) as stopped:
        plot_html.main(["-f", file, *arguments])
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
    assert not list(Path().glob("*.html"))


def test_from_the_command_line(tmp_path):
    surface()
    assert (
        succeed("plot_html.py", "--surf_file", "s.h5", "--surf_name", "test_acc", cwd=tmp_path).strip()
        == "saved s.h5_3dsurface.html"
    )
    assert figure_of("s.h5_3dsurface.html")[1]["updatemenus"][0]["active"] == VIEWS.index("test accuracy (%)")


def test_a_curve_has_its_values_and_a_logarithm():
    x = np.linspace(-0.5, 1.5, 401)
    loss = np.where(np.abs(x - 1.2) < 0.1, np.nan, 0.01 + x**2 * 20)
    write_surface_file("s.h5", x=x, quantities={"train_loss": loss, "train_acc": 100 - loss}, dir_file="d.h5")
    page = plot_html.write_html("s.h5")
    assert page == "s.h5_1d.html"
    data, layout = figure_of(page)
    assert np.allclose(numbers(trace(data, "train loss")["y"]), loss, equal_nan=True)
    assert trace(data, "train accuracy")["yaxis"] == "y2"
    assert (layout["yaxis"]["type"], layout["updatemenus"][0]["active"]) == ("log", 1)


def test_an_error_leaves_the_old_page():
    plot_html.write_html(surface())
    before = Path("s.h5_3dsurface.html").read_bytes()
    Path("s.h5").unlink()
    with pytest.raises(InputError):
        plot_html.write_html(surface(values=np.nan, names=("train_loss",)))
    assert Path("s.h5_3dsurface.html").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["s.h5", "s.h5_3dsurface.html"]


# What a browser makes of it -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip(f"there is no {CHROMIUM} or {DRIVER}; install Debian's chromium and chromium-driver")
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed; pip install selenium"
    )
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(200)
    driver.set_script_timeout(200)
    yield driver
    driver.quit()


def opened(browser, page):
    """Open a page and wait until it is drawn; the logs then tell of this page alone."""
    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(Path(page).absolute().as_uri())
    wait_for(
        browser,
        "return Boolean(document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis || document.querySelector('.gl-container canvas'))",
    )
    settled(browser)
    return browser


def settled(browser):
    """Let two frames be drawn."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100)))"
    )


def wait_for(browser, script):
    end = time.monotonic() + 120
    while not (found := browser.execute_script(script)):
        assert time.monotonic() < end, script
        time.sleep(0.1)
    return found


def picture(browser):
    """The middle of the page as an array of pixels: the surface, without buttons and texts."""
    pixels = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
    height, width, _ = pixels.shape
    return pixels[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4].astype(int)


def complaints(browser):
    """Errors on the console and addresses asked for, other than files and what is in the page itself."""
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert any(address.startswith("file:") for address in asked)
    return errors + [address for address in asked if not address.startswith(("file:", "data:", "blob:"))]


def test_the_surface_is_drawn_switched_and_pointed_at(browser):
    opened(
        browser,
        plot_html.write_html(
            surface(nx=21, ny=17), proj_file=trajectory([0.9, 0.5, 0.2, 0], [0.9, 0.5, 0.1, 0])
        ),
    )
    first = picture(browser)
    coloured = np.ptp(first, axis=-1) > 40
    assert coloured.mean() > 0.1
    assert len(np.unique(first[coloured], axis=0)) > 300

    file = h5_util.read_surface("s.h5")
    browser.execute_script(
        "document.getElementById('figure').on('plotly_hover', event => window.hovered = event.points[0])"
    )
    canvas, points = browser.find_element("id", "figure"), set()
    for across, down in ((-60, -40), (40, -60), (-20, -90), (60, -50), (-80, -30)):
        webdriver_actions(browser).move_to_element_with_offset(canvas, across, down).perform()
        settled(browser)
        name, x, y, text = browser.execute_script(
            "return [hovered?.data.name, hovered?.x, hovered?.y, document.querySelector('.hovertext')?.textContent]"
        )
        if text and name == "surface":
            row, column = int(np.argmin(np.abs(file.y - y))), int(np.argmin(np.abs(file.x - x)))
            values = "".join(
                f"{label} = {file.get(quantity)[row, column]:.5g}" for quantity, label in LABELS.items()
            )
            assert text == f"α = {file.x[column]:.4g}, β = {file.y[row]:.4g}{values}"
            points.add((row, column))
    assert len(points) >= 3

    webdriver_actions(browser).move_to_element_with_offset(canvas, 0, 0).perform()
    browser.find_elements("css selector", ".updatemenu-button")[VIEWS.index("log train loss")].click()
    settled(browser)
    now, title = browser.execute_script(
        "const plot = document.getElementById('figure'); return [plot.data[0].z, plot.layout.scene.zaxis.title.text]"
    )
    assert np.allclose(numbers(now), np.log10(file.get("train_loss")), rtol=1e-6)
    assert title == "log train loss"
    assert np.mean(np.abs(picture(browser) - first).max(axis=-1) > 20) > 0.05
    assert complaints(browser) == []


def test_a_training_is_played_on_a_surface_full_of_holes(browser):
    """Plotly's own contours would hang the browser at such a surface."""
    x, y, loss = bowl(21, 21)
    holes = np.random.default_rng(0).random((21, 21)) < 0.3
    path = trajectory(np.linspace(0.9, 0, 5), np.linspace(0.9, 0, 5))
    opened(
        browser,
        plot_html.write_html(surface(nx=21, ny=21, values=np.where(holes, np.nan, loss)), proj_file=path),
    )
    assert (np.ptp(picture(browser), axis=-1) > 40).mean() > 0.03
    now = "const dots = document.getElementById('figure').data.at(-1); return dots.marker.size.indexOf(Math.max(...dots.marker.size))"
    assert browser.execute_script(now) == 4
    end = picture(browser)
    rail = browser.find_element("css selector", ".slider-rail-touch-rect")
    webdriver_actions(browser).move_to_element_with_offset(
        rail, -rail.size["width"] // 4, 0
    ).click().perform()
    settled(browser)
    assert browser.execute_script(now) == 1
    assert (np.abs(picture(browser) - end).max(axis=-1) > 20).sum() > 20
    next(
        button
        for button in browser.find_elements("css selector", ".updatemenu-button")
        if button.text == "Play"
    ).click()
    wait_for(browser, now.replace("return ", "return 4 == "))
    assert complaints(browser) == []


def webdriver_actions(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    return ActionChains(browser)


def test_texts_of_a_file_are_texts_in_the_page(browser):
    bad = "<img src=x onerror=window.injected=1></script><script>window.injected=1</script>"
    file = "a<script>window.injected=1<script>.h5"
    x, y, loss = bowl(5, 4)
    runs = [{"command": f"python plot_surface.py {bad}"}]
    made = {"train_loss": loss, bad.replace("/", "|"): np.where(loss > 2, np.nan, loss)}
    h5_util.write_surface(Surface(file, x=x, y=y, quantities=made, dir_file=f"d{bad}", runs=runs))
    opened(browser, plot_html.write_html(file))
    assert browser.execute_script(
        "return [window.injected ?? null, document.querySelectorAll('main img, footer img, h1 script').length]"
    ) == [None, 0]
    assert browser.title == file
    assert browser.execute_script("return document.querySelector('code').textContent") == runs[0]["command"]
    assert complaints(browser) == []


def test_curves_are_drawn_and_switched(browser):
    x = np.linspace(-1, 1, 21)
    write_surface_file("s.h5", x=x, quantities={"train_loss": 0.01 + x**2 / 2, "test_acc": 90 - 50 * x**2})
    opened(browser, plot_html.write_html("s.h5"))
    assert len(browser.find_elements("css selector", ".scatterlayer .js-line, .overplot .js-line")) >= 2
    assert browser.execute_script("return document.getElementById('figure').layout.yaxis.type") == "linear"
    browser.find_elements("css selector", ".updatemenu-button")[1].click()
    settled(browser)
    assert browser.execute_script("return document.getElementById('figure')._fullLayout.yaxis.type") == "log"
    assert complaints(browser) == []
