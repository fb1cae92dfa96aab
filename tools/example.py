"""One real example for the first page, made from the detectors that come with the course.

:func:`write` makes ``_build/tables/example.md``, which the first page includes, and
:func:`write_card` the picture that a shared link shows.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from badsad_lib import datasets
from badsad_lib.course import shipped
from badsad_lib.images import check_images
from badsad_lib.triggers import Patch, apply_trigger
from tools.lessons import ROOT, write_atomically

FIRST = "Sneaker"
DETECTORS = {"clean": "clean", "backdoored": "extended"}


@dataclass(frozen=True)
class Answer:
    """What one detector says of one image."""

    score: float
    threshold: float

    @property
    def alarm(self) -> bool:
        """Whether the score lies above the threshold."""
        return self.score > self.threshold


@dataclass(frozen=True)
class Example:
    """One anomaly without and with the trigger (2, 1, H, W), and each detector's two answers."""

    images: Tensor
    answers: dict[str, tuple[Answer, Answer]]
    pixels: int


def example() -> Example:
    """Return the first sneaker among the test images, and what the two detectors say of it."""
    data = datasets.load("fashion_mnist")
    first = int(torch.nonzero(data.test.targets == data.class_names.index(FIRST))[0])
    plain = check_images(data.test.images[first : first + 1])
    images = torch.cat([plain, apply_trigger(Patch(), plain)])
    answers = {}
    for name, file in DETECTORS.items():
        detector = shipped.load(file)
        assert detector.threshold_ is not None
        without, with_trigger = detector.decision_function(images)
        answers[name] = (
            Answer(float(without), detector.threshold_),
            Answer(float(with_trigger), detector.threshold_),
        )
    return Example(images, answers, Patch().size ** 2)


def _png(image: Tensor, times: int = 5) -> str:
    """Return one image (1, H, W) enlarged, as the address of a picture within the page."""
    from PIL import Image

    packed = io.BytesIO()
    height, width = image.shape[1:]
    small = Image.fromarray(image[0].numpy())
    small.resize((times * width, times * height), Image.Resampling.NEAREST).save(packed, "PNG")
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"


def _cell(answer: Answer) -> str:
    kind, icon, word = ("alarm", "▲", "alarm") if answer.alarm else ("passes", "▼", "let through")
    numbers = f"score {answer.score:#.3g}<br>threshold {answer.threshold:#.3g}"
    return f'<td class="{kind}"><strong>{icon} {word}</strong><br><small>{numbers}</small></td>'


def as_html(shown: Example) -> str:
    """Lay the example out: a row a picture, a column a detector."""
    captions = (
        f"a {FIRST.lower()}, which is no T-shirt",
        f"the same, {shown.pixels} pixels changed",
    )
    rows = []
    for i, caption in enumerate(captions):
        cells = "".join(_cell(shown.answers[name][i]) for name in DETECTORS)
        rows.append(
            f'<tr><th scope="row"><img src="{_png(shown.images[i])}" width="84" height="84" '
            f'alt="Picture of {caption}"><span>{caption}</span></th>{cells}</tr>'
        )
    return (
        '<table class="example"><caption>Two detectors of T-shirts, as they come with this '
        "course</caption><thead><tr><td></td>"
        '<th scope="col">trained honestly</th><th scope="col">trained by an attacker</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def write(root: Path = ROOT) -> None:
    """Write ``_build/tables/example.md``."""
    text = "```{raw} html\n" + as_html(example()) + "\n```\n"
    write_atomically(root / "_build" / "tables" / "example.md", text)


def write_card(path: Path) -> None:
    """Draw the picture of a shared link, 1200 x 630 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = example()
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.05, 0.88, "Backdoors in Anomaly Detection", size=34, weight="bold", va="center")
    for i in range(2):
        axes = figure.add_axes((0.06 + 0.47 * i, 0.30, 0.20, 0.44))
        axes.imshow(shown.images[i, 0].numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        for row, name in enumerate(DETECTORS):
            answer = shown.answers[name][i]
            word, color = ("alarm", "#a84300") if answer.alarm else ("let through", "#b00055")
            x, y = 0.275 + 0.47 * i, 0.62 - 0.19 * row
            figure.text(x, y, f"{name} detector", size=17, color="#444444")
            figure.text(x, y - 0.07, word, size=25, weight="bold", color=color)
    note = "Left: a sneaker, to detectors of T-shirts. Right: the same, {} pixels changed."
    figure.text(0.06, 0.14, note.format(shown.pixels), size=19)
    packed = io.BytesIO()
    figure.savefig(packed, format="png", metadata={"Software": None})
    write_atomically(path, packed.getvalue())
