"""The token explorer as people use it: by keyboard, on a phone, in the dark; and its script against lib.budget."""

import json
import shutil
from itertools import cycle

import pytest
import torch
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

from lib import budget, plots
from lib.budget import ANSWER, CARDS, MODELS
from lib.known import GIB
from lib.tools import explorer
from lib.tools.explorer import (
    DRAWN,
    FRAME_CHOICES,
    PRECISION_CHOICES,
    PROMPT,
    choices_of_methods,
    projected,
    sight,
    spec_at_size,
)

WAYS = choices_of_methods()
TEXT_FITS = """
const pen = document.createElement("canvas").getContext("2d");
return [...document.querySelectorAll("select")].flatMap(list => {
  pen.font = getComputedStyle(list).font;
  const room = list.clientWidth - 40;  // the padding and the arrow
  return [...list.options].filter(option => pen.measureText(option.text).width > room).map(option => option.text);
});
"""
OUTSIDE = """
return [...document.querySelectorAll("body *")].filter(part => {
  const box = part.getBoundingClientRect();
  return box.width && (box.right > innerWidth || box.left < 0);
}).map(part => part.outerHTML.slice(0, 80));
"""
SIGHT = """
const { pieces } = sight(arguments[0]);
return JSON.stringify(pieces.flatMap(({ frame, layout, tokens }) => tokens.map(token => [frame, layout, ...token])));
"""
COLOURS = """
const data = document.getElementById("frame").getContext("2d").getImageData(0, 0, 200, 200).data;
return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
"""


BOXES = """
const [text, done] = arguments, pen = document.createElement("canvas").getContext("2d");
document.fonts.load("1em Hangul", text).then(() => requestAnimationFrame(() => {
  const shown = [...document.querySelectorAll("#language span")].find(part => part.textContent === text);
  pen.font = getComputedStyle(shown).fontSize + " Hangul";
  done([shown.getBoundingClientRect().width, pen.measureText(text).width]);
}));
"""


@pytest.fixture
def page(browser, serve, tmp_path):
    shutil.copy(plots.FONT, tmp_path)  # as on the website
    (tmp_path / "explorer.html").write_text(explorer.page(), "utf-8")
    browser.get(serve(tmp_path) + "/explorer.html")
    yield browser
    assert browser.errors() == []


def text(page, name: str) -> str:
    return page.find_element(By.ID, name).text


def press(page, name: str, *keys: str) -> None:
    page.find_element(By.ID, name).send_keys(*keys)


def most_frames(spec, card: str, how: str, way: int) -> str:
    plan = budget.plan(card, spec, how, reducer=WAYS[way].reducer)
    return f"Most frames: {plan.by_memory:,} by memory, {plan.by_context:,} by context."


def expected(spec, way: int, frames: int, card: str, how: str) -> dict:
    """What `compute` of the page has to return, by lib.budget."""
    reducer = WAYS[way].reducer
    memory = budget.answering(spec, frames, how, prompt=PROMPT, answer=ANSWER, reducer=reducer)
    visual = spec.tokens_of(frames, reducer)
    return {
        "frames": frames,
        "visual": visual,
        "positions": visual + PROMPT + ANSWER,
        "context": spec.language.context,
        "rope": budget.rope_factor(visual + PROMPT + ANSWER, spec.language.context),
        "weights": memory.weights,
        "cache": memory.cache,
        "activations": memory.activations,
        "total": memory.total,
        "card": budget.card_bytes(card),
        "planned": int(budget.SHARE * budget.card_bytes(card)),
        "looking": budget.encode_flops(projected(spec, reducer), frames),
        "reading": pytest.approx(budget.prefill_flops(spec, visual + PROMPT), rel=1e-12),  # beyond 2**53
    }


@pytest.mark.parametrize("model", MODELS)
def test_script_computes_what_lib_budget_computes(page, model):
    """Every size, way, number of frames and precision; the cards take turns."""
    cards = cycle(CARDS)
    choices = [
        {"model": model, "size": size, "way": way, "frames": frames, "precision": how, "card": next(cards)}
        for size in range(3)
        for way in range(len(WAYS))
        for frames in range(len(FRAME_CHOICES))
        for how in PRECISION_CHOICES
    ]
    found = page.execute_script("return JSON.stringify(arguments[0].map(compute))", choices)
    pixels = page.execute_script("return TABLES.models[arguments[0]].sizes.map(size => size.pixels)", model)
    for choice, cost in zip(choices, json.loads(found), strict=True):
        spec = spec_at_size(model, pixels[choice["size"]])
        values = choice["way"], FRAME_CHOICES[choice["frames"]], choice["card"], choice["precision"]
        del cost["milliseconds"], cost["byMemory"], cost["byContext"]  # looked up: see tests/test_explorer.py
        assert cost == expected(spec, *values), choice


@pytest.mark.parametrize("model, size, side", [("tiny", 1, 8), ("7b", 1, 24), ("onevision-0.5b", 1, 27)])
def test_script_draws_what_tokens_see(page, model, size, side):
    for way in range(len(WAYS)):
        for frames in (4, 16, DRAWN):
            choice = {"model": model, "size": size, "way": way, "frames": FRAME_CHOICES.index(frames)}
            found = torch.tensor(json.loads(page.execute_script(SIGHT, choice)))
            assert torch.equal(found, sight(WAYS[way].reducer, frames, side)), (WAYS[way], frames)


def test_keyboard_moves_the_numbers(page):
    page.switch_to.active_element.send_keys(Keys.TAB)  # the language
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "frames"
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT * 2)
    frames = FRAME_CHOICES[FRAME_CHOICES.index(16) + 2]
    spec, peak = MODELS["7b"], budget.answering(MODELS["7b"], frames).total
    assert text(page, "frames-value") == str(frames)
    assert text(page, "tokens") == f"{spec.video_tokens(frames):,}"
    assert text(page, "memory") == f"{peak / GIB:.2f} GiB / 14.75 GiB"
    assert most_frames(spec, "T4", "nf4-double", 1) in text(page, "fit")
    assert text(page, "context-verdict").startswith("✓")

    press(page, "method", "SlowFast")  # a list is searched by typing
    press(page, "card", "L4")
    press(page, "precision", Keys.ARROW_DOWN)
    press(page, "size", Keys.ARROW_DOWN)
    spec = spec_at_size("7b", 448)
    tokens = spec.tokens_of(frames, WAYS[8].reducer)
    peak = budget.answering(spec, frames, "float16", reducer=WAYS[8].reducer).total
    assert text(page, "tokens") == f"{tokens:,}"
    assert text(page, "positions") == f"{tokens + PROMPT + ANSWER:,} / 4,096"
    assert text(page, "context-verdict").startswith("✗")
    assert text(page, "memory") == f"{peak / GIB:.2f} GiB / 22.00 GiB"
    assert most_frames(spec, "L4", "float16", 8) in text(page, "fit")
    assert text(page, "summary") == f"{frames} frames, {tokens:,} visual tokens, {peak / GIB:.2f} GiB: does not fit."
    assert "448" not in text(page, "trained") and "336" in text(page, "trained")
    assert "Not measured yet" in text(page, "measured") or "Measured on" in text(page, "measured")


def test_keyboard_moves_over_the_tokens(page):
    assert text(page, "sees") == "frame 1 of 16: 2 × 2 = 4 patches (rows 13 to 14, columns 9 to 10)"  # token 77
    press(page, "token", Keys.ARROW_RIGHT)
    assert text(page, "token-value") == "78 / 2,304"
    assert text(page, "sees") == "frame 1 of 16: 2 × 2 = 4 patches (rows 13 to 14, columns 11 to 12)"
    press(page, "on", Keys.ENTER)
    assert text(page, "sees") == "frame 2 of 16: 2 × 2 = 4 patches (rows 1 to 2, columns 1 to 2)"
    assert page.find_element(By.ID, "token").get_attribute("aria-valuetext").endswith(text(page, "sees"))
    assert page.execute_script(COLOURS) > 2  # something is drawn
    press(page, "method", "LLaMA")
    press(page, "token", Keys.HOME)
    assert "may read any patch (rows 1 to 24, columns 1 to 24)" in text(page, "sees")
    press(page, "method", "LLaVA-O")
    press(page, "token", Keys.END)
    assert "sees no patch" in text(page, "sees")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_nothing_is_cut_off_on_a_phone(page, language):
    page.resize(390, 844)
    if language == "ko":
        press(page, "language", Keys.ENTER)
        assert text(page, "summary").startswith("16프레임") and "메모리" in text(page, "results")
    for way in range(len(WAYS)):
        page.execute_script(
            "choice.model = '7b'; change('way', arguments[0]); change('frames', TABLES.frames.length - 1)", way
        )
        assert page.execute_script("return document.documentElement.scrollWidth") == 390
        assert page.execute_script(OUTSIDE) == []
        assert page.execute_script(TEXT_FITS) == []
    page.picture(f"phone-{language}")


def test_dark(page):
    light = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert light == "rgb(255, 255, 255)"
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    page.picture("dark")


def test_notebook_frame_runs_and_is_as_high_as_the_page(browser, serve, tmp_path):
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html>{explorer.show()._repr_html_()}", "utf-8")
    browser.get(serve(tmp_path) + "/notebook.html")
    frame = browser.find_element(By.TAG_NAME, "iframe")
    browser.switch_to.frame(frame)
    browser.until(lambda _: text(browser, "tokens") == "2,304", "the explorer in its frame")
    high = browser.execute_script("return document.body.offsetHeight")
    browser.switch_to.default_content()
    browser.until(lambda _: abs(frame.size["height"] - high) < 10, "the frame to grow")
    assert browser.errors() == []


def test_hangul_that_was_drawn_before_its_font_came_is_no_boxes(page):
    page.set_script_timeout(20)
    drawn, right = page.execute_async_script(BOXES, "한국어")
    assert drawn == pytest.approx(right, abs=0.5)
    page.picture("hangul")
