"""The website in a real browser: on a screen and on a phone, in light and in dark, its search in two languages."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from notebooks import build

SCREEN, PHONE = (1280, 800), (390, 844)
LESSONS = [f"course/{source.stem}{language}" for source in build.lessons() for language in ("", ".ko")]
PAGES = [
    "index",
    "explorer",
    "onboarding",
    "lead",
    "glossary",
    "formulas",
    "papers",
    "api",
    "api/budget",
    "search",
    "contributing",
    "search.ko",
    "ko/index",
    "ko/lead",
    "ko/onboarding",
    "ko/aihub",
    "ko/glossary",
    *LESSONS,
]
BOTTOM = "return Math.max(...[...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().bottom))"
WIDTH = "return document.documentElement.scrollWidth"
COLOUR = "return getComputedStyle(document.body).getPropertyValue('background-color')"


@pytest.fixture
def site(browser, serve, book):
    """The address of the website, in a folder of its host as on GitHub Pages."""
    yield f"{serve(book.parent)}/{book.name}"
    assert browser.errors() == []


def test_one_screen_says_what_the_course_is(browser, site):
    browser.get(f"{site}/index.html")
    browser.resize(*SCREEN)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".lessons tbody a")) == len(build.lessons())
    assert browser.execute_script(BOTTOM, ".landing a, .landing img, .landing td") <= SCREEN[1]
    browser.picture("landing")
    browser.resize(*PHONE)
    assert browser.execute_script(BOTTOM, ".pitch, .picture img") <= PHONE[1]
    browser.picture("landing-phone")


def test_no_page_scrolls_sideways_on_a_phone(browser, site):
    browser.resize(*PHONE)
    for page in PAGES:
        browser.get(f"{site}/{page}.html")
        assert browser.execute_script(WIDTH) <= PHONE[0], page
        shrunk = "return [...document.images].filter(image => !image.complete || !image.naturalWidth).length"
        assert browser.execute_script(shrunk) == 0, page


SEARCHES = [
    ("pooling", "", "course/"),
    ("토큰", "", "course/"),
    ("anyres_tokens", "", "api/"),
    ("토큰", ".ko", ".ko.html"),
]


@pytest.mark.parametrize(("word", "language", "page"), SEARCHES)
def test_search_finds_english_and_korean(browser, site, word, language, page):
    browser.get(f"{site}/course/00_start_here{language}.html")
    browser.find_element(By.CSS_SELECTOR, "input.sidebar-search").send_keys(word + Keys.ENTER)
    wanted = (By.CSS_SELECTOR, f".pagefind-ui__result-link[href*='{page}']")  # results appear one after the other
    link, *_ = browser.until(lambda _: browser.find_elements(*wanted), f"results for {word} in {page}")
    assert link.value_of_css_property("font-family").startswith("Hangul,")  # without a Korean font, too
    browser.picture(f"search-{word}{language}")
    browser.get(link.get_attribute("href"))
    assert word in browser.find_element(By.TAG_NAME, "article").text


def test_hangul_has_a_font_on_any_machine(browser, site):
    """The bundled font can be loaded, and text and code fall back to it."""
    browser.get(f"{site}/course/08_korean_qlora.html")
    load = "document.fonts.load('1em Hangul', '토큰').then(faces => arguments[0](faces.map(face => face.status)))"
    assert browser.execute_async_script(load) == ["loaded"]
    for tag in ("article", "pre"):
        family = browser.find_element(By.TAG_NAME, tag).value_of_css_property("font-family")
        assert family.startswith("Hangul,"), tag
    browser.picture("hangul")


def test_light_and_dark(browser, site):
    seen = set()
    for theme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(f"{site}/formulas.html")
        seen.add(browser.execute_script(COLOUR))
        browser.picture(theme)
    assert len(seen) == 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_explorer_follows_the_theme(browser, site, theme):
    browser.get(f"{site}/explorer.html")
    browser.execute_script(f"document.body.dataset.theme = '{theme}'")  # as the button on each page does
    dark = "return document.querySelector('iframe').contentWindow.matchMedia('(prefers-color-scheme: dark)').matches"
    browser.until(lambda _: browser.execute_script(dark) == (theme == "dark"), f"the explorer in {theme}")


def test_mathematics_is_drawn(browser, site):
    browser.get(f"{site}/formulas.html")
    heights = "return [...document.querySelectorAll('mfrac')].map(e => e.getBoundingClientRect().height)"
    assert min(browser.execute_script(heights)) > 20  # of two lines, not one
