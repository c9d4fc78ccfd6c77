"""JupyterLab in a real browser, as a learner meets it: open lesson 00, run it, solve an exercise, restart."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable

ROOT = Path(__file__).resolve().parent.parent.parent
LESSON = "notebooks/00_start_here.ipynb"
COPIED = ("lib", "data", "pyproject.toml", LESSON)  # all that lesson 00 reads
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells stand in the page, however far down they are
    "apputils-extension/notification": {"fetchNews": "false"},  # else a dialog asks whether to
}
RUN_SECONDS = 300  # for the whole lesson; it takes ten where nothing else runs
BROKEN = ".jp-OutputArea-output[data-mime-type$='.error'], .jp-OutputArea-output[data-mime-type$='.stderr']"
PICTURES = "return [...document.querySelectorAll('.jp-OutputArea-output img')].map(image => image.naturalWidth)"
PROMPTS = "return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent)"


@pytest.fixture
def course(tmp_path) -> Path:
    """A copy of what lesson 00 needs, so that nothing is written into the repository."""
    (tmp_path / "course/notebooks").mkdir(parents=True)
    for part in COPIED:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / "course" / part)
    return tmp_path / "course"


@pytest.fixture
def lab(programs, course, tmp_path):
    """JupyterLab in that copy, without the settings of this machine's user: the folder in which it says its address."""
    for name, values in SETTINGS.items():
        file = tmp_path / f"config/lab/user-settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    places = {f"JUPYTER_{name.upper()}_DIR": str(tmp_path / name) for name in ("config", "data", "runtime")}
    own = {key: value for key, value in os.environ.items() if not key.startswith("F2T_")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    environment = own | places | {"IPYTHONDIR": str(tmp_path / "ipython")}
    with (
        open(tmp_path / "jupyterlab.log", "w") as log,
        subprocess.Popen(command, cwd=course, env=environment, stdout=log, stderr=subprocess.STDOUT) as server,
    ):
        yield tmp_path / "runtime"
        server.terminate()


class Lesson:
    """The lesson in JupyterLab. A code cell is named by words that only its source holds."""

    def __init__(self, browser, folder: Path, sources: list[str]):
        self.browser, self.sources = browser, sources
        server = browser.until(lambda _: next(folder.glob("jpserver-*.json"), None), "JupyterLab to start", 120)
        address = json.loads(server.read_text())
        browser.get(f"{address['url']}lab/tree/{LESSON}?token={address['token']}")
        idle = (By.CSS_SELECTOR, ".jp-Notebook-ExecutionIndicator[data-status='idle']")
        browser.until(lambda _: browser.find_elements(*idle), "an idle kernel", 120)
        browser.until(lambda _: len(self.prompts()) == len(sources), "all cells")

    def click(self, place: tuple[str, str]) -> None:
        self.browser.until(element_to_be_clickable(place), f"a click on {place[1]}").click()

    def menu(self, name: str, command: str) -> None:
        """Choose an entry of the menu bar."""
        self.click((By.XPATH, f"//*[@id='jp-MainMenu']//*[text()='{name}']"))
        self.click((By.CSS_SELECTOR, f".lm-Menu [data-command='{command}']"))

    def number(self, words: str) -> int:
        """Which of the code cells it is."""
        (number,) = (number for number, source in enumerate(self.sources) if words in source)
        return number

    def cell(self, words: str) -> WebElement:
        return self.browser.find_elements(By.CSS_SELECTOR, ".jp-CodeCell")[self.number(words)]

    def prompts(self) -> list[str]:
        """What stands beside each code cell: "[3]:" when it was the third to run, "[*]:" until then, "[ ]:" before."""
        return self.browser.execute_script(PROMPTS)

    def broken(self) -> list[str]:
        """The errors and warnings that the cells show."""
        return [output.text for output in self.browser.find_elements(By.CSS_SELECTOR, BROKEN)]

    def until_ran(self, expected: dict[int, str]) -> None:
        """Wait until these cells have these prompts. A cell that shows an error or a warning ends it, and fails."""

        def ran(_) -> bool:
            prompts = self.prompts()
            return all(prompts[number] == prompt for number, prompt in expected.items()) or bool(self.broken())

        self.browser.until(ran, "the cells to run", RUN_SECONDS)
        assert self.broken() == []

    def run(self, order: int, words: str) -> None:
        """Click beside the cell and press Shift and Enter; `order` is its place among all that the kernel ran."""
        self.cell(words).find_element(By.CSS_SELECTOR, ".jp-InputPrompt").click()
        ActionChains(self.browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
        self.until_ran({self.number(words): f"[{order}]:"})

    def write(self, words: str, stub: str, text: str) -> None:
        """Type over the line of the cell that holds the stub; its indentation stays."""
        line = self.cell(words).find_element(By.XPATH, f".//*[contains(@class, 'cm-line')][contains(., '{stub}')]")
        line.click()
        keys = ActionChains(self.browser).send_keys(Keys.END, Keys.HOME).key_down(Keys.SHIFT).send_keys(Keys.END)
        keys.key_up(Keys.SHIFT).send_keys(text).perform()


def colour(element: WebElement) -> tuple[float, ...]:
    """Red, green, blue and opacity of an element's text."""
    return tuple(map(float, element.value_of_css_property("color").partition("(")[2].rstrip(")").split(",")))


def test_learner_runs_a_lesson_solves_an_exercise_and_keeps_it(lab, browser, course):
    code = [cell for cell in nbformat.read(course / LESSON, 4).cells if cell.cell_type == "code"]
    pictures = sum("image/png" in output.get("data", ()) for cell in code for output in cell.outputs)
    lesson = Lesson(browser, lab, [cell.source for cell in code])

    assert pictures > 0

    def until_pictures():
        wide = [True] * pictures
        browser.until(lambda _: [w > 100 for w in browser.execute_script(PICTURES)] == wide, f"{pictures} pictures")

    until_pictures()  # the committed outputs, before anything ran
    lesson.menu("Edit", "editmenu:clear-all")
    browser.until(lambda _: set(lesson.prompts()) == {"[ ]:"}, "cells without outputs")
    lesson.menu("Run", "runmenu:run-all")
    lesson.until_ran({number: f"[{number + 1}]:" for number in range(len(code))})
    until_pictures()
    assert [message for message in browser.errors() if "colab-badge" not in message] == []  # that is on the network

    exercise = "def my_visual_tokens("
    assert "not attempted yet" in lesson.cell(exercise).text
    lesson.write(exercise, "# your code", "return frames * (pixels // patch // stride) ** 2")
    lesson.run(len(code) + 1, exercise)
    assert "00.visual_tokens: right!" in lesson.cell(exercise).text
    verdict = lesson.cell(exercise).find_element(By.CSS_SELECTOR, ".jp-OutputArea-output .ansi-green-fg")
    red, green, blue, _ = colour(verdict)
    assert green > max(red, blue)
    browser.picture("solved")

    lesson.menu("Kernel", "kernelmenu:restart-and-clear")
    lesson.click((By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept"))
    browser.until(lambda _: set(lesson.prompts()) == {"[ ]:"}, "the restarted kernel", 120)
    solved = json.loads((course / "progress.json").read_text())["exercises"]
    assert list(solved) == ["00.visual_tokens"] and solved["00.visual_tokens"]["solved"]
