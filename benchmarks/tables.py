"""Fill the tables of the README from the committed results: ``python benchmarks/tables.py``.

Each table stands between the comments ``<!-- table:NAME -->`` and ``<!-- /table:NAME -->``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

PROTOCOLS = {
    "full": "all of Fashion-MNIST",
    "course": "the course subset",
    "course pretrained": "the course subset, pretrained",
    "hard": "one known anomaly class",
    "hard pretrained": "one known anomaly class, pretrained",
}


def detector_table(results: Path = RESULTS) -> str:
    """AUROC of the clean detector, a row a protocol, a column a normal class."""
    runs = pd.read_csv(results / "detector.csv")
    lines = [
        "| AUROC, normal class | " + " | ".join(map(str, range(10))) + " | mean |",
        "|---" * 12 + "|",
    ]
    for protocol, name in PROTOCOLS.items():
        rows = runs[runs["protocol"] == protocol].set_index("normal_class")["auroc"]
        if set(rows.index) != set(range(10)):
            continue
        cells = [f"{rows[c]:.3f}" for c in range(10)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | **{rows.mean():.3f}** |")
    return "\n".join(lines)


def speed_table(results: Path = RESULTS) -> str:
    """Images per second, this library against a plain loop."""
    rows = pd.read_csv(results / "speed.csv")
    lines = [
        "| | plain loop | this library | ratio | of the floor | peak MB, plain and library |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        lines.append(
            f"| {row['stage']} | {row['plain']:,.0f}/s | {row['library']:,.0f}/s "
            f"| {row['ratio']:.1f} | {row['floor']:.0%} "
            f"| {row['plain_mb']:,.0f}, {row['library_mb']:,.0f} |"
        )
    machine = rows.iloc[0]
    lines += ["", f"{machine['device']}; {machine['versions']}. Best of the repeats."]
    return "\n".join(lines)


TABLES = {"detector": detector_table, "speed": speed_table}


def filled(text: str, results: Path = RESULTS) -> str:
    """Return ``text`` with every marked table made anew."""
    for name, make in TABLES.items():
        marks = rf"(<!-- table:{name} -->\n).*?(<!-- /table:{name} -->)"
        table = make(results)
        text = re.sub(marks, lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.DOTALL)
    return text


def main() -> None:
    """Rewrite the README in place, all or nothing."""
    readme = ROOT / "README.md"
    partial = readme.with_suffix(".md.partial")
    partial.write_text(filled(readme.read_text()))
    partial.replace(readme)


if __name__ == "__main__":
    main()
