"""The page in a real browser: headless Chromium, driven by Selenium."""

import importlib.util
import shutil
import signal
import time

import jax
import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

import ddgan_jax
from ddgan_jax.core.images import to_uint8

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NEEDED = {
    "gradio": importlib.util.find_spec("gradio"),
    "selenium": importlib.util.find_spec("selenium"),
    "chromium": shutil.which("chromium"),
    "chromedriver": shutil.which("chromedriver"),
}
MISSING = [name for name, found in NEEDED.items() if not found]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@pytest.fixture
def driver(tmp_path):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = NEEDED["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(NEEDED["chromedriver"]))
    driver.set_page_load_timeout(300)
    yield driver
    driver.quit()


def until(found, seconds=300):
    """The first result of a function that is true; exceptions are those of a page that changes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if result := found():
                return result
        except Exception as error:
            last = error
        else:
            last = None
        time.sleep(0.3)
    raise AssertionError(f"not there after {seconds} s: {last}")


@pytest.fixture
def page(driver):
    """Address of the page of the package's 28x28 model, which ends when it is interrupted."""
    process = runs.start("demo", "--port=0", module="ddgan_jax")
    try:
        line = until(lambda: next(text for text in process.stdout if "http://" in text))
        driver.get(line.split()[0])
        yield line.split()[0]
    finally:
        process.send_signal(signal.SIGINT)
        status, _, err = runs.finish(process, timeout=120)
    assert status == 130 and err.endswith("stopped by SIGINT\n")


def buttons(driver, name):
    """The buttons that show a text."""
    return [each for each in driver.find_elements("tag name", "button") if each.text == name]


def check_widths(driver):
    """Nothing is wider than a large and a small window."""
    for width in (1300, 420):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width


def test_samples_in_chromium(driver, page):
    until(lambda: buttons(driver, "Draw")[0].is_displayed())
    buttons(driver, "Draw")[0].click()
    image = until(lambda: driver.find_element("css selector", ".picture img"))
    assert until(lambda: image.size["width"]) > 300
    check_widths(driver)
    loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    elsewhere = [name for name in driver.execute_script(loaded) if page not in name]
    assert [name for name in elsewhere if not name.startswith(("data:", "blob:"))] == []


def test_inversion_in_chromium(driver, page, tmp_path):
    """Two digits from files are inverted, edited and interpolated."""
    del page
    model = ddgan_jax.load(runs.ROOT / "ddgan_jax/pretrained/dddg_mnist28")
    digits = np.asarray(model.sample(jax.random.key(0), 2, labels=np.array([3, 8])))
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file, digit in zip(files, digits, strict=True):
        Image.fromarray(to_uint8(digit)[:, :, 0]).save(file)
    driver.set_window_size(1300, 1000)
    until(lambda: buttons(driver, "Invert and edit")).pop().click()

    def shown():
        return driver.find_elements("css selector", ".row-of-images img")

    for file, field in zip(files, until(lambda: files_wanted(driver)), strict=True):
        field.send_keys(str(file))
    until(lambda: not files_wanted(driver))  # both were sent
    for done, button in enumerate(until(lambda: buttons(driver, "Invert"))):
        before = len(shown())
        button.click()
        until(lambda before=before: len(shown()) > before)
        assert len(shown()) == before + 3, done  # image, encoder, refined
    for name in ("First image as every class", "Mix the latents of both", "Interpolate"):
        before = len(shown())
        buttons(driver, name)[0].click()
        until(lambda before=before: len(shown()) >= before + 3)
    until(lambda: all(image.size["width"] > 0 for image in shown()))
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.set_window_size(1300, height + 150)
    driver.save_screenshot(str(tmp_path / "page.png"))
    check_widths(driver)


def files_wanted(driver):
    """The fields that take a file and have none; those of the drawing pads accept images only."""
    return driver.find_elements("css selector", "input[type=file]:not([accept])")
