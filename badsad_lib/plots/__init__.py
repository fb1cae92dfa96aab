"""Every figure of the book, in one look: arrays in, a matplotlib Figure out.

Nothing here trains or scores. Colors are Okabe and Ito's, which people with
color-blind eyes can tell apart; markers, line styles and hatching say the same
a second time, for a gray print. The background is white on light and dark
pages alike.

matplotlib, seaborn and umap are imported by the functions that use them, not
by ``import badsad_lib.plots``: they take seconds.
"""

from badsad_lib.plots.attack import (
    asr_by_poison_rate,
    asr_by_threshold,
    auroc_asr_plane,
    triggered_pairs,
)
from badsad_lib.plots.curves import learning_curves, line_chart, roc_curves
from badsad_lib.plots.images import class_gallery, image_grid
from badsad_lib.plots.latents import latent_maps, umap_coordinates
from badsad_lib.plots.look import INK, WIDTH, Style, style_of, styles_of
from badsad_lib.plots.rows import value_rows
from badsad_lib.plots.scores import score_histogram, scores_by_class

__all__ = [
    "INK",
    "WIDTH",
    "Style",
    "asr_by_poison_rate",
    "asr_by_threshold",
    "auroc_asr_plane",
    "class_gallery",
    "image_grid",
    "latent_maps",
    "learning_curves",
    "line_chart",
    "roc_curves",
    "score_histogram",
    "scores_by_class",
    "style_of",
    "styles_of",
    "triggered_pairs",
    "umap_coordinates",
    "value_rows",
]
