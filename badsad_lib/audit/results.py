"""What an audit found, as text, JSON and one page of HTML that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

SAYS_NOT = (
    "Nothing in this report says that the detector is clean. It lists what was tried on it; "
    "whoever made it may have known the list."
)


@dataclass(frozen=True)
class Finding:
    """Something to act on, with what is known about how often it is said of clean detectors."""

    text: str
    false_alarms: str


@dataclass(frozen=True)
class Table:
    """Rows of text under a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A PNG with what is to be seen in it."""

    caption: str
    png: str  # base64


@dataclass(frozen=True)
class Step:
    """One step of the audit.

    Attributes
    ----------
    name, title
        Short, and as a heading.
    skipped
        Why it was not done; empty where it was.
    text
        Sentences.
    values
        Numbers for programs: plain values.
    """

    name: str
    title: str
    skipped: str = ""
    text: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Step:
        """Read what ``dataclasses.asdict`` and JSON made of one."""
        tables = (
            Table(tuple(one["head"]), tuple(map(tuple, one["rows"]))) for one in values["tables"]
        )
        return cls(
            name=values["name"],
            title=values["title"],
            skipped=values["skipped"],
            text=tuple(values["text"]),
            findings=tuple(Finding(**one) for one in values["findings"]),
            tables=tuple(tables),
            pictures=tuple(Picture(**one) for one in values["pictures"]),
            values=values["values"],
        )


@dataclass(frozen=True)
class AuditReport:
    """All of an audit.

    Attributes
    ----------
    subject
        Facts about detector and images, by name.
    steps
        In the order of the checklist, skipped ones among them.
    never
        What no audit of this kind looks at.
    """

    subject: dict[str, str]
    steps: tuple[Step, ...]
    never: tuple[str, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, in order."""
        return tuple(finding for step in self.steps for finding in step.findings)

    @property
    def not_looked_at(self) -> tuple[str, ...]:
        """What was left out and why, beginning with what these images and this access forbid."""
        left = (
            f"{step.title}{'' if step.title.endswith('?') else ':'} {step.skipped}"
            for step in self.steps
            if step.skipped
        )
        return (*left, *self.never)

    @property
    def status(self) -> int:
        """1 where there are findings, else 0: the exit status of the command line."""
        return int(bool(self.findings))

    def step(self, name: str) -> Step:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the pictures as plain values; numbers that were not measured are None."""
        steps = [{k: v for k, v in asdict(s).items() if k != "pictures"} for s in self.steps]
        return _plain(
            {
                "subject": self.subject,
                "findings": [asdict(finding) for finding in self.findings],
                "not_looked_at": list(self.not_looked_at),
                "steps": steps,
                "says_not": SAYS_NOT,
            }
        )

    def save(self, out: str | Path) -> Path:
        """Write ``report.html`` and ``report.json`` into a folder, which is made; return the page.

        Each is written whole or not at all.
        """
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "report.json", json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")
        return write(folder / "report.html", page(self))

    def __str__(self) -> str:
        lines = [f"{name:<12}{value}" for name, value in self.subject.items()]
        for step in self.steps:
            lines += ["", step.title]
            lines += [f"  not looked at: {step.skipped}"] if step.skipped else []
            lines += [f"  {sentence}" for sentence in step.text]
            lines += [f"  FINDING: {finding.text}" for finding in step.findings]
        count = len(self.findings)
        lines += ["", f"{count} finding{'' if count == 1 else 's'}. {SAYS_NOT}"]
        return "\n".join(lines)


def write(path: Path, text: str) -> Path:
    """Write a text file under a temporary name, then give it its own."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def picture(image: Image.Image, caption: str, *, side: int = 0) -> Picture:
    """Return a picture for the page, enlarged to at least ``side`` pixels without smoothing."""
    factor = max(1, round(side / max(image.size)))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return Picture(caption, base64.b64encode(buffer.getvalue()).decode())


NOTHING = "<p>None of the steps found anything.</p>"

# --- the page -------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ccc; }
.finding { border-left: .4rem solid #b00020; padding: .3rem .8rem; background: #fdecee; }
.left { border-left: .4rem solid #767676; padding: .3rem .8rem; background: #f3f3f3; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; }
figcaption { max-width: 22rem; font-size: .9rem; } img { max-width: 100%; }
@media screen and (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #121212; } th, td { border-color: #555; }
  .finding { border-color: #ff6b7d; background: #3a1519; } .left { background: #262626; } }
@media print { body { font-size: 10pt; margin: 0; max-width: none; }
  h2, figure, .finding, .left, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def page(report: AuditReport) -> str:
    """Return the report as one HTML page: no script, nothing fetched, all text escaped."""
    count = len(report.findings)
    said = f"{count} finding{'' if count == 1 else 's'}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Audit of a detector: {said}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>Audit of a detector: {said}</h1>",
        _table(Table(("What", "Which"), tuple(report.subject.items()))),
        f"<p><strong>{_e(SAYS_NOT)}</strong></p>",
        "<h2>Findings</h2>",
        *(map(_finding, report.findings) if count else [NOTHING]),
        "<h2>What was not looked at</h2>",
        _list(report.not_looked_at),
    ]
    for step in report.steps:
        parts.append(f"<h2>{_e(step.title)}</h2>")
        if step.skipped:
            parts.append(f'<p class="left">Not looked at: {_e(step.skipped)}</p>')
        parts += [f"<p>{_e(sentence)}</p>" for sentence in step.text]
        parts += map(_finding, step.findings)
        parts += map(_table, step.tables)
        parts += (
            f'<figure><img alt="{_e(one.caption)}" src="data:image/png;base64,{one.png}">'
            f"<figcaption>{_e(one.caption)}</figcaption></figure>"
            for one in step.pictures
        )
    return "\n".join([*parts, "</main></body></html>\n"])


def _e(text: str) -> str:
    return html.escape(str(text))


def _finding(finding: Finding) -> str:
    return (
        f'<div class="finding"><p><strong>{_e(finding.text)}</strong></p>'
        f"<p>{_e(finding.false_alarms)}</p></div>"
    )


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_e(item)}</li>" for item in items) + "</ul>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_e(cell)}</th>' for cell in table.head)
    rows = (
        f'<tr><th scope="row">{_e(first)}</th>'
        + "".join(f"<td>{_e(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
