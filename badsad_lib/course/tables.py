"""Tables of a lesson: HTML on the page, aligned text where there is none."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

FORMATTED = re.compile(r"[-+−]?[\d.,]+ ?(%|dB)?|–|-")


@dataclass(frozen=True)
class Table:
    """Rows of text under a head, shown by Jupyter; see :func:`table`."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""

    def __repr__(self) -> str:
        lines = (self.head, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = "\n".join(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in lines
        )
        return f"{self.caption}\n{text}" if self.caption else text

    def _repr_html_(self) -> str:
        sides = ['style="text-align: right"' if right else "" for right in self.numeric]
        sides = [f" {side}" if side else ' style="text-align: left"' for side in sides]

        def line(cells: tuple[str, ...], names: list[str]) -> str:
            filled = "".join(
                f"<{name}{side}>{html.escape(cell)}</{name.split()[0]}>"
                for cell, side, name in zip(cells, sides, names, strict=True)
            )
            return f"<tr>{filled}</tr>"

        count = len(self.head)
        # An empty corner is no header of anything.
        head = line(self.head, ['th scope="col"' if title else "td" for title in self.head])
        body = [line(row, ['th scope="row"', *["td"] * (count - 1)]) for row in self.rows]
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        rows = "\n".join(body)
        return (
            f'<table class="lesson-table">{caption}<thead>{head}</thead>\n'
            f"<tbody>\n{rows}\n</tbody></table>"
        )


def table(rows: Iterable[Mapping[str, Any]] | Any, *, digits: int = 3, caption: str = "") -> Table:
    """Return a table to show: the last line of a cell displays it.

    Parameters
    ----------
    rows
        One mapping a row, from column to value, all with the same columns; or a pandas
        ``DataFrame``, whose index is left out. The first column names the row. Numbers stand to
        the right, also those that come as text, such as ``"3.4%"``.
    digits
        Decimals of a number that is no integer. Integers get separators, text stays as it is,
        Booleans read yes and no, and NaN and None a dash.
    caption
        A line above the table.

    Raises
    ------
    ValueError
        No rows, or rows with different columns.

    Examples
    --------
    >>> table([{"detector": "clean", "AUROC": 0.9312}, {"detector": "victim", "AUROC": 0.9}])
    detector  AUROC
    clean     0.931
    victim    0.900
    """
    records = rows.to_dict("records") if hasattr(rows, "to_dict") else [dict(row) for row in rows]
    if not records:
        raise ValueError("a table needs at least one row")
    head = tuple(records[0])
    for number, record in enumerate(records):
        if tuple(record) != head:
            raise ValueError(
                f"row {number} has the columns {', '.join(map(str, record))}; "
                f"the first row has {', '.join(map(str, head))}"
            )
    lines = tuple(tuple(_text(value, digits) for value in record.values()) for record in records)
    numeric = tuple(all(map(FORMATTED.fullmatch, column)) for column in zip(*lines, strict=True))
    return Table(tuple(map(str, head)), lines, numeric, caption)


def _text(value: Any, digits: int) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        return f"{float(value):.{digits}f}"
    return str(value)
