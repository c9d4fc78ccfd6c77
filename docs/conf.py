"""The website, by Sphinx: `make book`.

The lessons are the committed notebooks, outputs included (the link docs/course leads to them, and nothing is run). What
GitHub shows too (README.ko.md, CONTRIBUTING.md, README's table of lessons) is included, not copied. Whoever reads the
site needs no network: mathematics becomes MathML, which browsers draw themselves, and the search is an index beside the
pages.

Pages in `ko/` and those whose name ends in `.ko` are Korean. They say so to the browser and to the search, which has an
index for each language; they have a sidebar of their own, and lead to Korean pages where there are any. Each page that
exists in both languages leads to the other.
"""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from furo.navigation import get_navigation_tree

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))  # for autodoc, which imports lib

from lib import quiet  # noqa: E402

quiet()
from lib.tools import explorer  # noqa: E402
from notebooks.address import address  # noqa: E402

REPOSITORY, TAG = address()
explorer.write()  # a static file of the site
GITHUB = f"https://github.com/{REPOSITORY}"

project = "Frames to Tokens"
author = "The Frames to Tokens authors"
copyright = f"{author}. Apache License 2.0"
html_title = project
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinxcontrib.bibtex"]
exclude_patterns = ["course/.ipynb_checkpoints", "course/ko"]  # the catalogues are no pages
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_inherit_docstrings = False  # torch's say nothing of a reducer
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

bibtex_bibfiles = ["papers.bib"]
bibtex_reference_style = "author_year"

html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#00639a", "color-brand-content": "#00639a"},
    "dark_css_variables": {"color-brand-primary": "#7cc4f0", "color-brand-content": "#7cc4f0"},
}
html_math_renderer = "mathml"
html_static_path = ["_static", "../notebooks/explorer.html", "../data/fonts"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sphinx = False
html_use_index = False  # the search finds every name

# Our own files on GitHub were found here when the pages were made; Colab answers "yes" to any address.
linkcheck_ignore = [re.escape(GITHUB), r"https://colab\.research\.google\.com/"]
linkcheck_anchors = False

PAGES = {"README.md": "/index.md", "README.ko.md": "/ko/index.md", "CONTRIBUTING.md": "/contributing.md"}
KOREAN = re.compile(r"ko/.*|.*\.ko")
LANGUAGES = {"en": "English", "ko": "한국어"}
KOREAN_WORDS = {  # of the theme
    "Search": "검색", "Next": "다음", "Previous": "이전", "Home": "처음", "On this page": "이 페이지의 내용",
    "Back to top": "맨 위로", "Skip to content": "본문으로 건너뛰기",
}  # fmt: skip
LINK = re.compile(r"((?<!\w)\[[^]]*\]\()(?![a-z]+:)([^)\s#]+)(#[^)\s]*)?\)")  # not x[0](y), which is code
BADGE = re.compile(r"\[!\[Open In Colab\]\([^)]*\)\]\((https://colab\.[^)\s]*?/github/([^)\s]*))\)")
OTHER_LANGUAGE = re.compile(r"^\[(?:English|한국어)\]\([^)]*\)\n+", re.MULTILINE)  # each page has such a link above it
CODE = re.compile(r"`([^`]+)`")
SIGN = re.compile(r"((?<!\w)\*\w(?:[^*]*\w)?\*(?!\w))|[*_|\\`]")  # words between stars, or a sign to be escaped
ITEM = re.compile(r"^(- |\d+\. )", re.MULTILINE)
SETTING = re.compile(r"^[\w, ]+: ", re.MULTILINE)


def on_site(link: str, fragment: str, folder: Path, language: str = "en") -> str:
    """Where a link to a file of the repository leads on the site: to the file's page, or else to GitHub.

    From a Korean page it leads to the Korean one, if there is one; to its top, since headings differ.
    """
    file = (folder / link).resolve()
    if file.parent == DOCS / "ko" and not file.exists():  # not translated yet
        file = DOCS / file.name
    if link.startswith("/") or not file.exists() or not file.is_relative_to(ROOT):
        return link + fragment  # no file: an address of the site, or a mistake, which Sphinx then reports
    name = file.relative_to(ROOT).as_posix()
    if name + fragment in PAGES:
        return PAGES[name]
    if language == "ko" and (korean := in_korean(file)):
        file, fragment = korean, ""
    if file.parent == ROOT / "notebooks" and file.suffix in (".ipynb", ".png"):
        return f"/course/{file.name.removesuffix('.ipynb')}"  # no path: Sphinx would follow the link docs/course
    if file.is_relative_to(DOCS):
        return f"/{file.relative_to(DOCS).as_posix()}{fragment}"
    return f"{GITHUB}/{'tree' if file.is_dir() else 'blob'}/{TAG}/{name}{fragment}"


def in_korean(file: Path) -> Path | None:
    """The Korean edition of a page or a notebook; None where it has none or is one."""
    other = file.with_suffix(".ko.ipynb") if file.suffix == ".ipynb" else DOCS / "ko" / file.name
    return other if other != file and file.parent in (DOCS, ROOT / "notebooks") and other.exists() else None


def for_site(text: str, folder: Path, language: str = "en") -> str:
    """The source of a page in `folder`: its links lead to the site's pages, its badge, an image elsewhere, is text."""
    text = OTHER_LANGUAGE.sub("", text)
    colab, github = ("Colab에서 열기", "GitHub에서 보기") if language == "ko" else ("Open in Colab", "See it on GitHub")
    text = BADGE.sub(rf"[{colab}](\1) · [{github}](https://github.com/\2)", text)
    return LINK.sub(lambda match: f"{match[1]}{on_site(match[2], match[3] or '', folder, language)})", text)


def read(app, file, text: list[str], page: str = "") -> None:
    """source-read and include-read: a page (named without its ending) or a file that `page` includes, in place."""
    text[0] = for_site(text[0], (DOCS / file).parent.resolve(), language_of(page or str(file)))


def language_of(page: str) -> str:
    """The language of a page, named without its ending.

    >>> language_of("ko/lead"), language_of("course/01_frames.ko"), language_of("course/01_frames")
    ('ko', 'ko', 'en')
    """
    return "ko" if KOREAN.fullmatch(page) else "en"


def twin_of(page: str, pages: set[str]) -> str | None:
    """The same page in the other language; None where there is none."""
    if language_of(page) == "ko":
        names = [page.removeprefix("ko/").removesuffix(".ko")]
    else:
        names = [f"{page}.ko", f"ko/{page}"]
    return next((name for name in names if name in pages), None)


@cache
def korean_index(env):
    """The page from whose toctrees the Korean sidebar is made."""
    return env.get_doctree("ko/index")


def speak(app, page: str, template: str, context: dict, doctree) -> None:
    """html-page-context: the language of a page, the way to its twin; a Korean page's words, sidebar and search."""
    language, plain = language_of(page), context["pathto"]
    context["language"] = language
    words = KOREAN_WORDS if language == "ko" else {}
    app.builder.templates.environment.install_gettext_callables(
        lambda word: words.get(word, word), lambda one, many, n: one if n == 1 else many
    )
    if language == "ko":
        homes = {"index": "ko/index", "search": "search.ko"}
        context["pathto"] = lambda other, *rest, **more: plain(homes.get(other, other), *rest, **more)
        english = app.env.master_doctree  # of which the sidebar is made
        app.env.master_doctree = korean_index(app.env)
        tree = context["toctree"](collapse=False, titles_only=True, maxdepth=-1, includehidden=True)
        app.env.master_doctree = english
        context["furo_navigation_tree"] = get_navigation_tree(tree)
    if (twin := twin_of(page, app.env.found_docs)) and "body" in context:
        other = language_of(twin)
        link = f'href="{plain(twin)}" lang="{other}" hreflang="{other}"'
        context["body"] = f'<p class="twin"><a {link}>{LANGUAGES[other]}</a></p>\n{context["body"]}'
        context["metatags"] += f'<link rel="alternate" {link}>\n'


def escaped(text: str) -> str:
    """Plain text with `code` and *stress* as reStructuredText, where no other sign has a meaning."""
    parts = CODE.split(text)  # text, code, text, code ...
    parts[::2] = [SIGN.sub(lambda match: match[1] or rf"\{match[0]}", part) for part in parts[::2]]
    parts[1::2] = [rf"\ ``{' '.join(part.split())}``\ " for part in parts[1::2]]
    return "".join(parts)


def paragraph(lines: list[str]) -> list[str]:
    """One paragraph of a docstring (lines without an empty one) as reStructuredText.

    An example stays. Indented schemes and columns stand as they are, lists are lists, and of settings ("name: what it
    means", the rest indented) each has a line of its own.
    """
    text = "\n".join(lines)
    if text.startswith(">>>"):
        return lines
    if all(line.startswith(" ") for line in lines) or re.search(r"\S {2,}\S", text):
        return ["::", "", *(f"    {line}" for line in lines)]
    if ITEM.search(text):
        return ITEM.sub(r"\n\g<0>", escaped(text), count=1).split("\n")
    if "\n " in text or len(SETTING.findall(text)) > 1:
        return [f"  {line}" if line.startswith(" ") else f"| {line}" for line in escaped(text).split("\n")]
    return escaped(text).split("\n")


def docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """autodoc-process-docstring: each docstring, paragraph by paragraph, in place."""
    text = "\n".join(lines).strip("\n")
    lines[:] = [line for part in re.split(r"\n\s*\n", text) for line in (*paragraph(part.split("\n")), "")]


def skip(app, what, name, obj, skipped: bool, options) -> bool | None:
    """autodoc-skip-member: the fields of a NamedTuple, whose docstrings Python makes up. None: as autodoc likes."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def draw_mathematics(translator, node) -> None:
    """A formula as MathML. Raises MathError for LaTeX that docutils does not know."""
    translator.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def without_sphinx_search(app) -> None:
    """The page search.md takes the place of Sphinx's, which does not find 토큰 in 토큰을."""
    app.builder.search = False


def make_index(app, exception) -> None:
    """The search index, from the pages that were written."""
    if exception is None and app.builder.name == "html":
        pages = ("--site", app.outdir, "--glob", "{*,course/*,api/*,ko/*}.html")
        what = ("--root-selector", "article", "--exclude-selectors", ".headerlink, .twin")
        subprocess.run([sys.executable, "-m", "pagefind", "--silent", *pages, *what], check=True)


def font_beside_lessons(app, error) -> None:
    """Lesson 02 embeds the explorer, which looks for its Korean font beside the page that it stands on."""
    if error is None and app.builder.name == "html":
        shutil.copy(ROOT / "data" / "fonts" / "NanumSquareR.ttf", Path(app.outdir) / "course")


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (draw_mathematics, None), (draw_mathematics, None))
    app.connect("builder-inited", without_sphinx_search)
    app.connect("source-read", read)
    app.connect("include-read", lambda app, file, parent, text: read(app, file, text, parent))
    app.connect("html-page-context", speak, priority=900)  # after the theme
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-skip-member", skip)
    app.connect("build-finished", make_index)
    app.connect("build-finished", font_beside_lessons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
