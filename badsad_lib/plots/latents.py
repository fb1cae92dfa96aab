"""Figures of the latent space."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import TqdmWarning

from badsad_lib.plots.look import INK, WIDTH, book_look, check_some, new_axes, rgb, styles_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def umap_coordinates(latents: ArrayLike, *, seed: int = 0, neighbors: int = 15) -> NDArray:
    """Coordinates (N, 2) of latents (N, D) on one map that keeps neighbors together.

    Fit once, on all groups that are to be looked at together. Two maps cannot be compared:
    neither places nor distances mean the same on both. Source: McInnes, Healy, Melville,
    arXiv 1802.03426. The first call of a session takes longer, because umap compiles itself.
    """
    points = np.asarray(latents, dtype=np.float32)
    if points.ndim != 2 or len(points) <= neighbors:
        raise ValueError(
            f"latents must have shape (N, D) with N above {neighbors}, got {points.shape}"
        )
    with warnings.catch_warnings():
        # umap asks tqdm for a notebook's widgets, which it then does not use.
        warnings.simplefilter("ignore", TqdmWarning)
        from sklearn.neighbors import NearestNeighbors

        UMAP = _import_umap()

    # The exact neighbors, which umap would seek itself with code that it first has to compile:
    # this way the first call takes about half the time.
    search = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(points)
    distances, indices = search.kneighbors(points)
    # One job is what a fixed seed means to umap anyway; saying so spares its warning. It starts
    # from the principal components: the usual start complains about groups far apart.
    reducer = UMAP(
        n_neighbors=neighbors,
        init="pca",
        random_state=seed,
        n_jobs=1,
        precomputed_knn=(indices, distances),
        force_approximation_algorithm=True,
    )
    with warnings.catch_warnings():
        # No point is added to the map later on.
        warnings.filterwarnings("ignore", "precomputed_knn.*transform", UserWarning)
        return np.asarray(reducer.fit_transform(points))


def _import_umap() -> Any:
    """Return the class ``UMAP``, also where numba finds no folder for what it compiles.

    Without a writable home and with packages that another user installed, the import fails.
    """
    try:
        from umap import UMAP
    except RuntimeError:
        import numba

        numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]
        from umap import UMAP
    return UMAP


def _cache_folder() -> str:
    """Folder for temporary files that is this user's alone: numba trusts what it finds there."""
    folder = Path(tempfile.gettempdir(), f"badsad-numba-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_mode == stat.S_IFDIR | 0o700 and found.st_uid == os.getuid():
        return str(folder)
    # Somebody else was there first.
    own = tempfile.mkdtemp(prefix="badsad-numba-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def latent_maps(maps: Mapping[str, ArrayLike], groups: Sequence[str] | NDArray[np.str_]) -> Figure:
    """Scatter plots of latents on the plane, one panel a map, without coordinates.

    Parameters
    ----------
    maps
        Title of each panel to coordinates (N, 2), such as :func:`umap_coordinates` gives.
    groups
        (N,) the group of each point, the same in all panels. A point of the group ``center``
        is drawn large and on top. Groups of triggered images are hollow: they may lie where
        others lie, and must not bury them.
    """
    check_some(maps, "maps")
    names = np.asarray(groups)
    styles = styles_of(dict.fromkeys(names.tolist()))
    with book_look():
        width = WIDTH / len(maps)
        figure, axes = new_axes(height=width + 0.5, columns=len(maps))
        for axis, (title, points) in zip(axes, maps.items()):
            xy = np.asarray(points, dtype=np.float64)
            if xy.shape != (len(names), 2):
                raise ValueError(f"map {title!r} must have shape ({len(names)}, 2), got {xy.shape}")
            for name, style in styles.items():
                big = name == "center"
                hollow = name.startswith("triggered")
                fill = "none" if hollow else (*rgb(style.color), 0.55)
                own = xy[names == name]
                axis.scatter(
                    own[:, 0],
                    own[:, 1],
                    s=260 if big else 16,
                    marker=style.marker,
                    facecolor="white" if big else fill,
                    edgecolor=INK if big else style.color,
                    linewidth=1.5 if big else 0.8 if hollow else 0.5,
                    zorder=3 if big else 2,
                    label=name,
                )
            axis.set(xticks=[], yticks=[], title=title)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(styles))
    return figure
