"""Turn the MyST Markdown of a lesson into Markdown that plain Jupyter shows.

Plain Jupyter knows no directives and no roles. What has no translation here raises, so that a
new lesson may need a new line below, but never comes out unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import nbformat
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.plugin import find_plugin
from pybtex.richtext import Text

from tools.lessons import TIME_SPAN, page_file
from tools.myst import Code, Directive, blocks

TITLED_BY_NAME = (
    *("attention", "caution", "danger", "error", "hint", "important", "note", "seealso"),
    *("tip", "warning"),
)
PICTURES = "figures/"
PYTHON_ROLES = ("class", "func", "meth", "mod")

# A code span, or a role: one with a name in braces in front.
SPAN = re.compile(
    r"(?:\{(?P<name>[\w:.+-]+)\})?(?<!`)(?P<ticks>`+)(?!`)"
    r"(?P<content>(?:(?!\n\s*\n).)+?)(?<!`)(?P=ticks)(?!`)",
    re.DOTALL,
)
TITLED = re.compile(r"(?P<title>.*?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
HEADING = re.compile(r"^# +(.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|\bsrc=[\"']([^\"']+)")
# Other MyST syntax, which plain Jupyter would show as it stands.
LEFTOVERS = {
    "an indented or unfinished directive": r"^[ >]*(?:`{3,}|:{3,}) *\{",
    "a colon fence": r"^ *:{3,}",
    "a role": r"\{[\w:.+-]+\}`",
    "a target": r"^\([\w:.-]+\)=\s*$",
    "a labeled equation": r"^\$\$ *\([\w:.-]+\)",
    "a substitution": r"\{\{ *[\w.]+ *\}\}",
    "a comment": r"^%",
    "a block break": r"^\+\+\+",
    "a definition list": r"^: +\S",
    "a footnote": r"\[\^[\w-]+\]",
    "a link without text": r"\[\]\(",
}


class LabError(ValueError):
    """A lesson has something that its student version could not show or run."""


class PlainMarkdown:
    """Turn the MyST Markdown of one lesson, cell by cell, into what plain Jupyter shows."""

    def __init__(self, lesson: Path, glued: dict[str, str]) -> None:
        self.folder = lesson.parent
        self.number = re.sub(r"_.*", "", lesson.stem)
        self.glued = glued
        self.exercises = 0
        self.cited: list[str] = []
        self.pictures: set[str] = set()

    def text(self, text: str) -> str:
        """Return Markdown without directives, roles, time marks and links to other pages."""
        parts = []
        for block in blocks(TIME_SPAN.sub(r"\g<2>", text)):
            if isinstance(block, Directive):
                parts.append(self._directive(block))
            elif isinstance(block, Code):
                parts.append(block.text)
            else:
                parts.append(self._prose(block))
        # A blank line ends a block of HTML, without which what follows would not be Markdown.
        return "\n\n".join(part.strip("\n") for part in parts if part.strip())

    def references(self) -> str:
        """Return a section with the works that the text cites."""
        style = find_plugin("pybtex.style.formatting", "plain")()
        markdown = find_plugin("pybtex.backends", "markdown")()
        entries = style.format_bibliography(self._bibliography, self.cited)
        works = [" ".join(entry.text.render(markdown).split()) for entry in entries]
        items = [re.sub(r"\\([.()-])", r"\1", work) for work in works]
        return "\n".join(["## References", "", *(f"- {item}" for item in items)])

    # -- directives

    def _directive(self, directive: Directive) -> str:
        known = self._directives()
        if directive.name not in known:
            raise _unknown(f"directive {{{directive.name}}}", known)
        return known[directive.name](directive)

    def _directives(self) -> dict[str, Callable[[Directive], str]]:
        return dict.fromkeys((*TITLED_BY_NAME, "admonition"), self._admonition) | {
            "dropdown": self._details,
            "exercise": self._exercise,
            "exercise-start": self._exercise,
            "exercise-end": lambda directive: "",
            "figure": self._figure,
            "image": self._figure,
            "math": lambda directive: f"$$\n{directive.body}\n$$",
            "code-block": self._code,
            "solution": self._misplaced_solution,
            "solution-start": self._misplaced_solution,
            "solution-end": self._misplaced_solution,
        }

    def _admonition(self, directive: Directive) -> str:
        if "dropdown" in directive.options.get("class", ""):
            return self._details(directive)
        # As HTML: formulas and code inside survive, which they do not behind ">".
        title, body = self._title_and_body(directive)
        return f"<blockquote>\n\n**{title}**\n\n{body}\n\n</blockquote>"

    def _details(self, directive: Directive) -> str:
        title, body = self._title_and_body(directive)
        return f"<details>\n<summary><b>{title}</b></summary>\n\n{body}\n\n</details>"

    def _title_and_body(self, directive: Directive) -> tuple[str, str]:
        if directive.name in ("admonition", "dropdown"):
            return self._prose(directive.argument), self.text(directive.body)
        title = "See also" if directive.name == "seealso" else directive.name.capitalize()
        return title, self.text(f"{directive.argument}\n{directive.body}")

    def _exercise(self, directive: Directive) -> str:
        self.exercises += 1
        title = self._prose(directive.argument)
        heading = f"### Exercise {self.number}.{self.exercises}" + (f": {title}" if title else "")
        return f"{heading}\n\n{self.text(directive.body)}".rstrip()

    def _figure(self, directive: Directive) -> str:
        alt = directive.options.get("alt", "")
        picture = self._prose(f"![{alt}]({directive.argument})")
        return f"{picture}\n\n{self.text(directive.body)}".rstrip()

    def _code(self, directive: Directive) -> str:
        return f"```{directive.argument}\n{directive.body}\n```"

    def _misplaced_solution(self, directive: Directive) -> str:
        raise LabError(f"{{{directive.name}}} must be in a cell with the tag 'solution'")

    # -- text

    def _prose(self, text: str) -> str:
        plain = SPAN.sub(self._span, text)
        bare = SPAN.sub("", plain)
        for name, pattern in LEFTOVERS.items():
            if found := re.search(pattern, bare, re.MULTILINE):
                raise LabError(f"plain Jupyter would show {name} as it stands: {found[0]!r}")
        for target in (first or second for first, second in LINK.findall(bare)):
            self._follow(target)
        return plain

    def _span(self, span: re.Match[str]) -> str:
        name = span["name"]
        if name is None:
            return span[0]
        content = " ".join(span["content"].split())
        known = self._roles()
        if name not in known:
            raise _unknown(f"role {{{name}}}", known)
        return known[name](content)

    def _roles(self) -> dict[str, Callable[[str], str]]:
        python = [f"{domain}{name}" for domain in ("", "py:") for name in PYTHON_ROLES]
        return dict.fromkeys(python, _python_name) | {
            "cite": self._cite,
            "cite:p": self._cite,
            "cite:t": lambda keys: self._cite(keys, in_text=True),
            "doc": self._page,
            "glue:text": self._glue,
            "math": lambda formula: f"${formula}$",
            "term": lambda term: _title_and_target(term)[0],
        }

    def _glue(self, key: str) -> str:
        if key not in self.glued:
            raise LabError(
                f"no cell before this has stored the glued value {key!r}: a value may be told "
                "only after the cell that makes it has run. Or run `make execute`"
            )
        return self.glued[key]

    def _cite(self, keys: str, in_text: bool = False) -> str:
        works = []
        for key in (key.strip() for key in keys.split(",")):
            if key not in self._bibliography.entries:
                raise LabError(f"references.bib has no entry {key!r}")
            if key not in self.cited:
                self.cited.append(key)
            works.append(_label(self._bibliography.entries[key], in_text))
        return ", ".join(works) if in_text else f"({'; '.join(works)})"

    def _page(self, content: str) -> str:
        title, page = _title_and_target(content)
        source = page_file(page, self.folder)
        if source is None:
            raise LabError(f"there is no page {page!r}")
        title = _page_title(source) if title == page else title
        return f"[{title}]({source.name})" if source.suffix == ".ipynb" else f"*{title}*"

    def _follow(self, target: str) -> None:
        """Remember the picture that a link leads to, or see that it leads somewhere else."""
        if re.match(r"[a-z]+:|#", target):
            return
        file = self.folder / target.split("#")[0]
        if not file.is_file():
            raise LabError(f"links to {target!r}, which does not exist")
        if target.startswith(PICTURES):
            self.pictures.add(target)
        elif file.parent != self.folder or file.suffix != ".ipynb":
            raise LabError(f"links to {target!r}, which student versions come without")

    @property
    def _bibliography(self) -> BibliographyData:
        return _read_bibliography(self.folder / "references.bib")


def _unknown(what: str, known: Iterable[str]) -> LabError:
    return LabError(
        f"plain Jupyter knows no {what}. Write it otherwise, or add a translation to "
        f"tools/plain_markdown.py. It has: {', '.join(sorted(known))}"
    )


def _title_and_target(content: str) -> tuple[str, str]:
    """Return title and target of a role, which are the same if only one is given."""
    titled = TITLED.fullmatch(content)
    return (titled["title"], titled["target"]) if titled else (content, content)


def _python_name(content: str) -> str:
    title, _ = _title_and_target(content)
    name = title.rsplit(".", 1)[-1] if title.startswith("~") else title
    return f"`{name.lstrip('~')}`"


def _label(work: Entry, in_text: bool) -> str:
    """Return authors and year, as a link to the work where its entry has an address."""
    names = [str(Text.from_latex(" ".join(p.last_names))) for p in work.persons["author"]]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    year = work.fields["year"]
    label = f"{authors} ({year})" if in_text else f"{authors}, {year}"
    return f"[{label}]({work.fields['url']})" if "url" in work.fields else label


@cache
def _read_bibliography(path: Path) -> BibliographyData:
    return parse_file(path)


@cache
def _page_title(page: Path) -> str:
    if page.suffix == ".ipynb":
        text = nbformat.read(page, as_version=4).cells[0].source
    else:
        text = page.read_text(encoding="utf-8")
    title = HEADING.search(text)
    return title[1] if title else page.stem
