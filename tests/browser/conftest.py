"""A real browser for the tests of what people look at: Chromium or Chrome without a window, cut off from the network.

    def test_site(browser, serve):
        browser.get(serve("build/book") + "/index.html")
        browser.resize(390, 844)  # a phone
        browser.until(lambda _: "Frames" in browser.title, "the title")
        assert browser.errors() == []  # a file that is missing, or one from the network, is one

Where no browser is installed such a test is skipped with a sentence, but under CI=true it fails.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
BROWSERS = ("google-chrome", "chromium", "chromium-browser", MACOS)
MISSING = (
    "needs Chromium or Chrome, and a chromedriver of the same version; on Debian: apt-get install chromium "
    "chromium-driver"
)
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", OFFLINE,
)  # fmt: skip


class Installed(NamedTuple):
    browser: str
    driver: str


def version(program: str) -> str:
    """The major version that a browser or driver says it has (the first number); where it says none, its own name."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return next((word.split(".")[0] for word in said.split() if word[0].isdigit()), program)


def installed() -> Installed | None:
    """The driver, and the first browser of the driver's version: a driver refuses all others."""
    driver = shutil.which("chromedriver")
    found = filter(None, map(shutil.which, BROWSERS if driver else ()))
    return next((Installed(browser, driver) for browser in found if version(browser) == version(driver)), None)


class Browser(webdriver.Chrome):
    """Chrome with a few words that every test needs. `folder` takes its screenshots."""

    def __init__(self, programs: Installed, folder: Path):
        options = webdriver.ChromeOptions()
        options.binary_location = programs.browser
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        super().__init__(options, webdriver.ChromeService(programs.driver))  # its driver makes and removes a profile
        self.folder = folder

    def resize(self, width: int, height: int) -> None:
        """A page of exactly this size in CSS pixels: a window has borders, and cannot be as narrow as a phone."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def until(self, condition: Callable, what: str, seconds: float = 30):
        """The first true value of condition(browser). Raises TimeoutException, which says what was waited for."""
        return WebDriverWait(self, seconds, poll_frequency=0.1).until(condition, f"waited {seconds} s for {what}")

    def errors(self) -> list[str]:
        """What the pages complained about since the last call; that a page has no icon of its own is none."""
        severe = [entry["message"] for entry in self.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in severe if "/favicon.ico" not in message]

    def picture(self, name: str) -> None:
        """A screenshot, to be looked at, in the test's tmp_path."""
        self.save_screenshot(str(self.folder / f"{name}.png"))


def required() -> Installed:
    """What is installed. Without it a test is skipped; in continuous integration, where it always is, it fails."""
    found = installed()
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    return found


@pytest.fixture
def programs() -> Installed:
    return required()


@pytest.fixture
def browser(programs, tmp_path):
    """A browser of 1200 x 800; its last screen stays as last.png in the test's tmp_path, which pytest keeps."""
    with Browser(programs, tmp_path) as browser:
        browser.resize(1200, 800)
        yield browser
        browser.picture("last")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the requests out of pytest's output."""


@pytest.fixture
def serve():
    """serve(folder) -> the address, without a slash at its end, at which the test finds the folder's files."""
    with ExitStack() as stack:

        def start(folder: str | Path) -> str:
            server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
            stack.enter_context(server)
            Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start
