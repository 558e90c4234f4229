"""The page in a real browser: headless Chromium, driven by Selenium."""

import importlib.util
import shutil
import signal
import time

import pytest
import tiny_runs as runs

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


def test_samples_in_chromium(driver):
    process = runs.start("demo", "--port=0", module="ddgan_jax")
    try:
        line = until(lambda: next(text for text in process.stdout if "http://" in text))
        address = line.split()[0]
        driver.get(address)

        def button(name):
            buttons = driver.find_elements("tag name", "button")
            return next(each for each in buttons if each.text == name)

        until(lambda: button("Draw").is_displayed())
        button("Draw").click()
        image = until(lambda: driver.find_element("css selector", ".picture img"))
        assert until(lambda: image.size["width"]) > 300
        for width in (1300, 420):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            wide = driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width
        loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)"
        elsewhere = [name for name in driver.execute_script(loaded) if address not in name]
        assert [name for name in elsewhere if not name.startswith(("data:", "blob:"))] == []
    finally:
        process.send_signal(signal.SIGINT)
        status, _, err = runs.finish(process, timeout=120)
    assert status == 130 and err.endswith("stopped by SIGINT\n")
