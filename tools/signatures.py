"""A Sphinx extension: signatures of the API page name types, not the rules that check them.

A parameter is annotated with the rule that its value must keep (``badsad_lib._rules``). On the
page that is noise: ``Annotated[int, Whole(least=0, ...)]`` is an ``int``, and what it may hold
stands in the text.
"""

from __future__ import annotations

import re
from typing import Any, get_args

# Autodoc copies the annotations of a base into the classes that it documents, where their names
# mean nothing. What is made while a module is imported must be made before that.
import badsad_lib.grids.defense  # noqa: F401
from badsad_lib import _rules

# Up to the end of the rule's call, which is the end of the annotation as well.
RULE = re.compile(r"(?:~?typing\.)?Annotated\[([\w.~]+), (?:~?badsad_lib\._rules\.)?\w+\(.*?\)\]")
# Where Sphinx cannot resolve an annotation, it shows the source: ``Seed``, an ``int``.
TYPES = {
    name: get_args(hint)[0].__name__
    for name, hint in vars(_rules).items()
    if hasattr(hint, "__metadata__")
}
NAME = re.compile(rf"(?<=: )({'|'.join(TYPES)})\b")


def plain(signature: str) -> str:
    """Return it with each checked type as that type."""
    return NAME.sub(lambda name: TYPES[name[1]], RULE.sub(r"\1", signature))


def _process(app: Any, what: str, name: str, obj: Any, options: Any, *texts: str | None) -> Any:
    return tuple(text if text is None else plain(text) for text in texts)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
