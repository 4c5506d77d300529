"""What tests do with a page in a browser."""

import io
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

PATIENCE = 120  # seconds
IS_DRAWN = "return document.documentElement.dataset.drawn === 'true';"
AFTER_TWO_FRAMES = """
const done = arguments[0];
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100)));
"""


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


def screenshot(browser):
    """The visible part of the page as an array (height, width, 3) of pixels."""
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    return np.asarray(image).astype(int)


def picture(browser):
    """The middle of the page as an array of pixels: the surface, without buttons and texts."""
    pixels = screenshot(browser)
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
