"""Fill tables and numbers of the pages from the committed results: ``python benchmarks/tables.py``.

A table stands between the comments ``<!-- table:NAME -->`` and ``<!-- /table:NAME -->``, each on
a line of its own. A number in a sentence stands between ``<!--=NAME-->`` and ``<!--/-->``, never
at the beginning of a line, where Markdown would take the line for HTML.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import attack_tables as attacks
import basic_tables as basic
import buyer_tables as buyer
import cost_tables as costs
import defense_tables as defenses
import own_tables as own
from cells import RESULTS
from values import VALUES

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "book/results.md", "book/intro.md", "book/many_runs.md")

TABLES: dict[str, Callable[[Path], str]] = {
    "detector": attacks.detector_table,
    "detector_classes": attacks.detector_classes_table,
    "speed": attacks.speed_table,
    "attack": attacks.attack_table,
    "controls": attacks.controls_table,
    "faint": attacks.faint_table,
    "faint_search": attacks.faint_search_table,
    "basic": basic.basic_table,
    "elsewhere": basic.elsewhere_table,
    "visibility": basic.visibility_table,
    "parts": basic.parts_table,
    "rates": basic.rates_table,
    "bases": basic.bases_table,
    "other_data": attacks.other_data_table,
    "ablation": attacks.ablation_table,
    "carry_over": attacks.carry_over_table,
    "extra_images": attacks.extra_images_table,
    "sensitivity": attacks.sensitivity_table,
    "rounding": attacks.rounding_table,
    "data_only": attacks.data_only_table,
    "data_only_all": attacks.data_only_all_table,
    "data": defenses.data_table,
    "inputs": defenses.inputs_table,
    "inputs_caught": defenses.inputs_caught_table,
    "model": defenses.model_table,
    "repairs": defenses.repairs_table,
    "repairs_cost": defenses.repairs_cost_table,
    "buyer": buyer.buyer_table,
    "excess": buyer.excess_table,
    "inspection": buyer.inspection_table,
    "chain": buyer.chain_table,
    "guards": defenses.guards_table,
    "surfaces": own.surfaces_table,
    "surfaces_attack": own.surfaces_attack_table,
    "audits": own.audits_table,
    "costs": costs.costs_table,
}
TABLE = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table:\2 -->)", re.DOTALL)
VALUE = re.compile(r"(<!--=([^>]+?)-->).*?(<!--/-->)", re.DOTALL)


def filled(text: str, results: Path = RESULTS) -> str:
    """Return ``text`` with every marked table and number made anew.

    Raises ``ValueError`` for a mark that names nothing, is not closed, or begins a line.
    """

    def fill(kind: str, make: dict[str, Callable[[Path], str]], end: str) -> Callable[..., str]:
        def one(match: re.Match[str]) -> str:
            opening, name, closing = match.groups()
            if name not in make:
                raise ValueError(f"no {kind} is called {name!r}; there are {', '.join(make)}")
            return f"{opening}{make[name](results)}{end}{closing}"

        return one

    for kind, marks, opening in (("table", TABLE, "<!-- table:"), ("value", VALUE, "<!--=")):
        if len(marks.findall(text)) != text.count(opening):
            raise ValueError(f"a {kind} is not closed: see the marks in benchmarks/tables.py")
    if begins := re.search(r"^\s*<!--=.*", text, re.MULTILINE):
        raise ValueError(f"a number's mark begins a line, move a word before it: {begins[0]!r}")
    text = TABLE.sub(fill("table", TABLES, "\n"), text)
    return VALUE.sub(fill("value", VALUES, ""), text)


def main() -> None:
    """Rewrite the pages in place, all or none."""
    done = {ROOT / page: filled((ROOT / page).read_text(encoding="utf-8")) for page in PAGES}
    for page, text in done.items():
        partial = page.with_suffix(".md.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(page)


if __name__ == "__main__":
    main()
