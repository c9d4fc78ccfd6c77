"""The website: every page is there, every link on it leads somewhere, and nothing is loaded from another host."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from notebooks import build

ROOT = Path(__file__).resolve().parent.parent
LESSONS = build.lessons()
# Exercises are on the lessons' pages; their modules hold the solutions.
UNDOCUMENTED = re.compile(r"lib(\.exercises\.lesson_\d\d|.*\.__main__)?")


class Page(HTMLParser):
    """A page's ids, the addresses that it links to, and those that a browser loads with it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.ids, self.links, self.loads = set(), [], []
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        addresses = self.links if tag == "a" else self.loads
        addresses += [found[name] for name in ("href", "src") if found.get(name)]


def read(folder):
    return {path: Page(path) for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}


def dead(pages):
    """Links, images, scripts and anchors of the site that are not there."""
    found = []
    for page in pages.values():
        for address in page.links + page.loads:
            scheme, host, path, _, anchor = urlsplit(address)
            if scheme or host:
                continue
            target = (page.path.parent / unquote(path)).resolve() if path else page.path
            there = target.is_file() and (not anchor or target not in pages or unquote(anchor) in pages[target].ids)
            found += [] if there else [f"{page.path.name}: {address}"]
    return found


@pytest.fixture(scope="session")
def pages(book):
    return read(book)


def test_each_lesson_is_a_page_with_all_its_figures(book, pages):
    assert LESSONS
    for source in LESSONS:
        page = pages[book / "course" / f"{source.stem}.html"]
        cells = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
        figures = [out for cell in cells for out in cell.get("outputs", ()) if "image/png" in out.get("data", {})]
        assert len([load for load in page.loads if "_images/" in load]) == len(figures), source.stem
        assert "Open in Colab</a>" in page.text and "colab-badge" not in page.text, source.stem
        assert "한국어 요약" in page.text, source.stem
        korean = pages[book / "course" / f"{source.stem}.ko.html"]
        assert len([load for load in korean.loads if "_images/" in load]) == len(figures), source.stem
        assert "Colab에서 열기</a>" in korean.text and f"{source.stem}.ko.ipynb" in korean.text, source.stem


def test_every_page_says_its_language_and_leads_to_its_twin(book, pages):
    names = {path.relative_to(book).with_suffix("").as_posix(): page for path, page in pages.items()}
    korean = {name for name in names if name.startswith("ko/") or name.endswith(".ko")}
    assert {"ko/index", "ko/lead", "ko/onboarding", "ko/aihub", "ko/glossary", "search.ko"} <= korean
    for name, page in names.items():
        language = re.search(r'<html[^>]* lang="(\w+)"', page.text)[1]
        assert language == ("ko" if name in korean else "en"), name
    assert len(re.findall(r'<p class="twin">', "".join(page.text for page in names.values()))) >= 2 * len(LESSONS) + 8
    lesson = LESSONS[0].stem
    assert f'href="{lesson}.ko.html" lang="ko"' in names[f"course/{lesson}"].text
    assert f'href="{lesson}.html" lang="en"' in names[f"course/{lesson}.ko"].text
    sidebar = names["ko/lead"].text.split('class="sidebar-tree"')[1].split("</aside>")[0]
    assert "AI-Hub 데이터 받기" in sidebar and f"{lesson}.ko.html" in sidebar and "The code" not in sidebar
    assert 'action="../search.ko.html"' in names["ko/lead"].text and 'action="search.html"' in names["index"].text


def test_the_search_has_an_index_for_each_language(book):
    languages = json.loads((book / "pagefind" / "pagefind-entry.json").read_text(encoding="utf-8"))["languages"]
    assert set(languages) == {"en", "ko"}
    assert all(index["page_count"] > len(LESSONS) for index in languages.values())


def test_every_link_leads_somewhere(pages):
    assert sum(len(page.links) for page in pages.values()) > 2000
    assert dead(pages) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "there.html").write_text('<h1 id="top"></h1><a href="there.html#top"></a><a href="https://a.b/c"></a>')
    assert dead(read(tmp_path)) == []
    dead_ones = '<a href="there.html#no"></a><a href="#no"></a><img src="no.png"><a href="no.html">'
    (tmp_path / "dead.html").write_text(dead_ones)
    assert dead(read(tmp_path)) == [f"dead.html: {no}" for no in ("there.html#no", "#no", "no.html", "no.png")]


def test_addresses_elsewhere_are_well_formed(pages):
    elsewhere = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    assert len(elsewhere) > 30
    form = re.compile(r"https://[\w-]+(\.[\w-]+)+(:\d+)?(/[^\s<>\"]*)?")
    assert [link for link in sorted(elsewhere) if not form.fullmatch(link)] == []


def test_nothing_is_loaded_from_another_host(book, pages):
    loaded = {load for page in pages.values() for load in page.loads}
    assert len(loaded) > 50 and [load for load in loaded if urlsplit(load).netloc] == []
    styles = [path.read_text(encoding="utf-8") for path in book.rglob("*.css")]
    assert styles and not any(re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style) for style in styles)


def test_mathematics_needs_no_script(book, pages):
    page = pages[book / "formulas.html"]
    assert page.text.count("<math") > 20 and "<mfrac" in page.text and "<msqrt" in page.text
    assert not re.search(r"\\[a-z]+", re.sub(r"<(script|style).*?</\1>", "", page.text, flags=re.DOTALL))
    assert not any("mathjax" in load.lower() for page in pages.values() for load in page.loads)


def test_each_module_of_lib_is_on_one_page(pages):
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "lib").rglob("*.py")]
    names = {".".join(file.parts).removesuffix(".__init__") for file in files}
    wanted = {name for name in names if not UNDOCUMENTED.fullmatch(name)} - {"lib.reducers"}  # no code of its own
    ids = [name for page in pages.values() for name in page.ids if name and name.startswith("module-")]
    assert sorted(ids) == sorted(f"module-{name}" for name in wanted)


def test_docstrings_become_code_and_text(book, pages):
    api = [page.text for path, page in pages.items() if path.parent == book / "api"]
    assert sum(text.count("&gt;&gt;&gt;") for text in api) > 100
    outside = [re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL) for text in api]
    assert not any("&gt;&gt;&gt;" in text for text in outside)
    assert not any("problematic" in page.text or "system-message" in page.text for page in pages.values())


def test_each_paper_of_a_lesson_is_on_the_papers_page():
    bib, rows = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("papers.bib", "papers.md"))
    keys = dict(re.findall(r"@\w+\{(\w+),(.*?)\n\}", bib, flags=re.DOTALL))
    assert sorted(re.findall(r"\{cite:t\}`(\w+)`", rows)) == sorted(keys)
    by_arxiv = {found[1]: key for key, entry in keys.items() if (found := re.search(r"eprint = \{(.*?)\}", entry))}
    for source in LESSONS:
        for number in set(re.findall(r"arXiv (\d{4}\.\d{5})", source.read_text(encoding="utf-8"))):
            (row,) = [line for line in rows.splitlines() if f"`{by_arxiv[number]}`" in line]
            assert f"notebooks/{source.stem}.ipynb" in row, (source.stem, number)


@pytest.fixture(scope="module")
def conf():
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


@pytest.mark.parametrize(("folder", "source", "site"), [
    ("docs", "[a](../notebooks/01_frames.ipynb)", "[a](/course/01_frames)"),
    ("notebooks", "[a](02_token_math.ipynb), [b](../README.ko.md)", "[a](/course/02_token_math), [b](/ko/index.md)"),
    (".", "[한국어](README.ko.md)\n\nText [a](docs/ko/lead.md)", "Text [a](/ko/lead.md)"),
    (".", "![a](notebooks/00_start_here.png)", "![a](/course/00_start_here.png)"),
    (".", "[a](docs/papers.md#references) [b](README.md)", "[a](/papers.md#references) [b](/index.md)"),
    (".", "[a](lib) [b](lib/video.py#L1)", "[a]({github}/tree/{tag}/lib) [b]({github}/blob/{tag}/lib/video.py#L1)"),
    (".", "[a](https://a.b/c) [b](#lib)", "[a](https://a.b/c) [b](#lib)"),
    (".", "[a](no.md) `x[0](lib)`", "[a](no.md) `x[0](lib)`"),
    ("notebooks", "[![Open In Colab](https://x/badge.svg)](https://colab.x.y/github/o/n/blob/main/a.ipynb)",
     "[Open in Colab](https://colab.x.y/github/o/n/blob/main/a.ipynb) · "
     "[See it on GitHub](https://github.com/o/n/blob/main/a.ipynb)"),
])  # fmt: skip
def test_links_lead_to_pages_or_to_github(conf, folder, source, site):
    assert conf.for_site(source, ROOT / folder) == site.format(github=conf.GITHUB, tag=conf.TAG)


@pytest.mark.parametrize(("folder", "source", "site"), [
    ("docs/ko", "[a](../lead.md#licences-of-data-and-code), [b](lead.md#말)", "[a](/ko/lead.md), [b](/ko/lead.md#말)"),
    (".", "[a](docs/papers.md), [b](docs/glossary.md)", "[a](/papers.md), [b](/ko/glossary.md)"),
    (".", "[a](notebooks/01_frames.ipynb)", "[a](/course/01_frames.ko)"),
    ("docs/ko", "[a](../../notebooks/01_frames.ko.ipynb)", "[a](/course/01_frames.ko)"),
    ("docs/ko", "# 제목\n\n[English](../lead.md)\n\n글", "# 제목\n\n글"),
    ("notebooks", "[![Open In Colab](https://x/badge.svg)](https://colab.x.y/github/o/n/blob/main/a.ko.ipynb)",
     "[Colab에서 열기](https://colab.x.y/github/o/n/blob/main/a.ko.ipynb) · "
     "[GitHub에서 보기](https://github.com/o/n/blob/main/a.ko.ipynb)"),
])  # fmt: skip
def test_a_korean_page_leads_to_korean_pages(conf, folder, source, site):
    assert conf.for_site(source, ROOT / folder, "ko") == site


def test_pages_find_their_twins(conf):
    pages = {
        "index",
        "ko/index",
        "search",
        "search.ko",
        "course/01_frames",
        "course/01_frames.ko",
        "papers",
        "ko/aihub",
    }
    pairs = {page: conf.twin_of(page, pages) for page in pages}
    assert [page for page, twin in pairs.items() if twin is None] == [p for p in pairs if p in ("papers", "ko/aihub")]
    assert all(pairs[twin] == page for page, twin in pairs.items() if twin)


@pytest.mark.parametrize(
    ("lines", "rst"),
    [
        ([">>> f(*a)", "`1`"], [">>> f(*a)", "`1`"]),
        (["  a -> b", "  c"], ["::", "", "      a -> b", "      c"]),
        (["one  1", "two  2"], ["::", "", "    one  1", "    two  2"]),
        (["Up to *n of h*w", "`a_ *b`s."], [r"Up to \*n of h\*w", r"\ ``a_ *b``\ s."]),
        (["*Not* one of *args and *kwargs"], [r"*Not* one of \*args and \*kwargs"]),
        (["Two:", "- a", "  b", "- c"], ["Two:", "", "- a", "  b", "- c"]),
        (["1. a", "   b"], ["", "1. a", "   b"]),
        (["side: of a", "    square", "step: a"], ["| side: of a", "      square", "| step: a"]),
        (["Raises: a", "b"], ["Raises: a", "b"]),
    ],
)
def test_a_docstring_is_plain_text(conf, lines, rst):
    assert conf.paragraph(lines) == rst
