"""The structure of MyST Markdown that the book's tools need: its directives, its code, the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

DIRECTIVE = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<argument>.*)$")
CODE = re.compile(r"^ *(?P<fence>`{3,}|~{3,})[^`{]*$")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")


@dataclass(frozen=True)
class Directive:
    """A fenced block that opens with a name in braces."""

    name: str
    argument: str
    options: dict[str, str]
    body: str
    source: str = ""


@dataclass(frozen=True)
class Code:
    """A fenced block of code, fences included. What looks like markup in it is none."""

    text: str


def blocks(text: str) -> Iterator[str | Code | Directive]:
    """Split Markdown into its directives, its fenced code and the runs of text between them.

    Bodies of directives come as they are: call ``blocks`` on them. A fence that is never
    closed reaches to the end. An indented directive, as in a list, counts as text.
    """
    lines = text.splitlines()
    done = position = 0
    while position < len(lines):
        opening = DIRECTIVE.match(lines[position]) or CODE.match(lines[position])
        if not opening:
            position += 1
            continue
        if done < position:
            yield "\n".join(lines[done:position])
        end = position + 1
        while end < len(lines) and not _closes(lines[end], opening["fence"]):
            end += 1
        if opening.re is DIRECTIVE:
            whole = "\n".join(lines[position : end + 1])
            inner = lines[position + 1 : end]
            yield _directive(opening["name"], opening["argument"], inner, whole)
        else:
            yield Code("\n".join(lines[position : end + 1]))
        done = position = end + 1
    if done < len(lines):
        yield "\n".join(lines[done:])


def directives(text: str) -> Iterator[Directive]:
    """Yield all directives of a text in order, each before those inside it."""
    for block in blocks(text):
        if isinstance(block, Directive):
            yield block
            yield from directives(block.body)


def _closes(line: str, fence: str) -> bool:
    line = line.strip()
    return len(line) >= len(fence) and set(line) == {fence[0]}


def _directive(name: str, argument: str, inner: list[str], source: str) -> Directive:
    options = {}
    while inner and (option := OPTION.match(inner[0])):
        options[option[1]] = option[2].strip()
        inner = inner[1:]
    body = "\n".join(inner).strip("\n")
    return Directive(name, argument.strip(), options, body, source)
