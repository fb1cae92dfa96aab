"""A detector that looks at tiles: for defects that are small beside their image, and where.

Few photographs give many tiles. A DeepSAD learns to tell tiles of normals from tiles with synthetic
defects (:mod:`badsad_lib.synthetic`); an image scores the mean of its highest tiles, and the scores
of all tiles, laid over it, are a heat map.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from badsad_lib import checkpoints
from badsad_lib._base import Detector
from badsad_lib._rules import Count, Device, Flag, Positive, Seed, Whole, checked
from badsad_lib.deepsad import DeepSAD
from badsad_lib.deepsad import Scorer as TileScorer
from badsad_lib.images import check_images, check_semi_labels, to_float, to_uint8
from badsad_lib.synthetic import KINDS, Strength, check_kinds, paint_defects

TILE = 32
Shape = tuple[int, int, int]
Train = Callable[[DeepSAD, Tensor, Tensor], DeepSAD]
_SCORED_AT_ONCE = 4096


def corners(length: int, tile: int, stride: int) -> list[int]:
    """Where tiles begin along a side: in steps, and one that ends with it."""
    found = list(range(0, length - tile + 1, stride))
    return found if found[-1] == length - tile else [*found, length - tile]


def cut(images: Tensor, tile: int, stride: int) -> Tensor:
    """Cut images (N, C, H, W) into tiles (N, rows * columns, C, tile, tile), row by row."""
    rows, columns = (corners(length, tile, stride) for length in images.shape[2:])
    windows = images.unfold(2, tile, 1)[:, :, rows].unfold(3, tile, 1)[:, :, :, columns]
    n, channels = images.shape[:2]
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(n, -1, channels, tile, tile)


class _Scorer(nn.Module):
    """A detector of tiles as one module: float images (N, C, H, W) to scores (N,).

    The same as ``differentiable_scores``, in operations that every exporter knows: making smaller
    is linear in rows and columns, so it is two matrices, and cutting picks rows and columns.
    """

    def __init__(self, detector: TiledDeepSAD) -> None:
        super().__init__()
        inner = detector.deepsad_
        self.of_tiles = TileScorer(inner.encoder_, inner.center_)
        self.highest, self.channels = detector.highest, detector.shape_[0]
        size = detector._reduced_size(detector.shape_[1:])
        for name, before, after in zip(("rows", "columns"), detector.shape_[1:], size):
            starts = torch.tensor(corners(after, TILE, detector.stride))
            self.register_buffer(
                f"{name}_of_tiles", (starts[:, None] + torch.arange(TILE)).flatten()
            )
            matrix = F.interpolate(
                torch.eye(before)[None, None], (after, before), mode="bilinear", antialias=True
            )
            self.register_buffer(f"fewer_{name}", matrix[0, 0])
        self.tiles = tuple(len(corners(n, TILE, detector.stride)) for n in size)

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = self.get_buffer("fewer_rows"), self.get_buffer("fewer_columns")
        images = rows @ images @ columns.T
        images = images.index_select(2, self.get_buffer("rows_of_tiles"))
        images = images.index_select(3, self.get_buffer("columns_of_tiles"))
        down, across = self.tiles
        cut = images.reshape(-1, self.channels, down, TILE, across, TILE)
        cut = cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, self.channels, TILE, TILE)
        scores = self.of_tiles(cut).reshape(-1, down * across)
        return scores.topk(min(self.highest, down * across), dim=1).values.mean(1)


class TiledDeepSAD(Detector):
    """DeepSAD on tiles of 32x32 pixels, with synthetic anomalies for labels.

    The interface is that of :class:`~badsad_lib.deepsad.DeepSAD`: ``fit``, ``decision_function``
    (**higher is more anomalous**), ``calibrate``, ``predict``, ``save``, ``load``. Metrics,
    guards, the search and the audit take it; a repair, which trains weights on whole images, does
    not.

    Parameters
    ----------
    stride
        Step from tile to tile when scoring, in pixels.
    highest
        The score of an image is the mean of so many highest tiles.
    reduce_to
        Images whose shorter side is longer are made smaller first, until it has so many pixels;
        None leaves them as they are, for defects of few pixels.
    steps
        Training steps.
    normal_tiles, synthetic_tiles
        How many are drawn from the training images, in random places.
    kinds, strength
        Of the synthetic anomalies, see :func:`badsad_lib.synthetic.paint_defects`.
    mirror
        Half of the tiles are mirrored, left to right.
    lr, batch_size, eta, device, seed, progress
        As in DeepSAD.

    Attributes
    ----------
    deepsad_ : DeepSAD
        The detector of tiles.
    shape_ : tuple
        (C, H, W) of the images that it takes.
    threshold_, quantile_ : float or None
        Set by :meth:`calibrate`.
    about_ : dict
        What it was trained on, as far as somebody noted it; :meth:`fit` notes the synthetic
        anomalies. Saved and loaded.
    """

    @checked
    def __init__(
        self,
        *,
        stride: Annotated[int, Whole(1, TILE)] = 8,
        highest: Count = 3,
        reduce_to: Annotated[int, Whole(TILE)] | None = 64,
        steps: Count = 1000,
        normal_tiles: Annotated[int, Whole(2)] = 6000,
        synthetic_tiles: Count = 3000,
        kinds: Sequence[str] = KINDS,
        strength: Strength = 1.0,
        mirror: Flag = True,
        lr: Positive = 1e-3,
        batch_size: Annotated[int, Whole(2)] = 64,
        eta: Positive = 1.0,
        device: Device | torch.device = "auto",
        seed: Seed = 0,
        progress: Flag = False,
    ) -> None:
        self.stride = stride
        self.highest = highest
        self.reduce_to = reduce_to
        self.steps = steps
        self.normal_tiles = normal_tiles
        self.synthetic_tiles = synthetic_tiles
        self.kinds = check_kinds(kinds)
        self.strength = strength
        self.mirror = mirror
        self.lr = lr
        self.batch_size = batch_size
        self.eta = eta
        self.device = device
        self.seed = seed
        self.progress = progress
        self.threshold_ = None
        self.about_: dict[str, Any] = {}

    @property
    def is_fitted(self) -> bool:
        """Whether there is a detector to score with."""
        return hasattr(self, "deepsad_")

    @property
    def center_(self) -> Tensor:
        """The point that scores of tiles are measured from, (D,)."""
        return self.deepsad_.center_

    # --- training ---

    def training_tiles(self, images: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
        """Draw what the detector of tiles is trained on from normals (N, C, H, W).

        Returns
        -------
        tiles, semi_labels
            uint8 (``normal_tiles`` + ``synthetic_tiles``, C, 32, 32), and 0 or -1 for each.
        """
        reduced = self._reduced(check_images(images))
        generator = torch.Generator().manual_seed(self.seed)
        normal = self._drawn(reduced, self.normal_tiles, generator)
        painted = paint_defects(
            self._drawn(reduced, self.synthetic_tiles, generator),
            self.synthetic_tiles,
            kinds=self.kinds,
            strength=self.strength,
            seed=self.seed,
        )
        semi_labels = torch.zeros(len(normal) + len(painted), dtype=torch.int64)
        semi_labels[len(normal) :] = -1
        return torch.cat([to_uint8(normal), to_uint8(painted)]), semi_labels

    def _drawn(self, images: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw tiles in random places of random images: (count, C, 32, 32)."""
        n, _, height, width = images.shape
        number, row, column = (
            torch.randint(size, (count,), generator=generator)
            for size in (n, height - TILE + 1, width - TILE + 1)
        )
        tiles = images.unfold(2, TILE, 1).unfold(3, TILE, 1)[number, :, row, column]
        if self.mirror:
            here = torch.rand(count, generator=generator) < 0.5
            tiles[here] = tiles[here].flip(3)
        return tiles

    def _reduced(self, images: Tensor) -> Tensor:
        """Float images (N, C, h, w) in [0, 1], no larger than ``reduce_to`` asks."""
        height, width = images.shape[2:]
        if min(height, width) < TILE:
            raise ValueError(
                f"tiles have {TILE}x{TILE} pixels, got images of {height}x{width}: "
                "enlarge them, or use DeepSAD on whole images"
            )
        images = to_float(images)
        size = self._reduced_size((height, width))
        if size == (height, width):
            return images
        return F.interpolate(images, size, mode="bilinear", antialias=True)

    def _reduced_size(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = size
        if self.reduce_to is None or (shorter := min(height, width)) <= self.reduce_to:
            return height, width
        return round(height * self.reduce_to / shorter), round(width * self.reduce_to / shorter)

    def fit(
        self,
        images: Tensor | np.ndarray,
        semi_labels: Tensor | np.ndarray | None = None,
        *,
        train: Train | None = None,
    ) -> Self:
        """Draw tiles and train on them. A second call starts afresh.

        Parameters
        ----------
        images
            Normals (N, C, H, W), uint8 or float in [0, 1], 32 pixels a side or more.
        semi_labels
            (N,) in {-1, 0, 1}. Images with -1 are set aside: which of their tiles hold the defect,
            nobody said.
        train
            What trains the detector of tiles in place of ``DeepSAD.fit``: a function of an
            unfitted DeepSAD, tiles and semi-labels that returns a fitted one. An attack, say.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As in :meth:`DeepSAD.fit <badsad_lib.deepsad.DeepSAD.fit>`; images that are too small.

        Warns
        -----
        UserWarning
            Labeled anomalies are set aside.
        """
        images = check_images(images)
        if semi_labels is not None:
            anomalies = check_semi_labels(semi_labels, len(images)) < 0
            if anomalies.any():
                warnings.warn(
                    f"{int(anomalies.sum())} labeled anomalies are set aside: tiles are trained "
                    "with synthetic anomalies, use the real ones to test",
                    stacklevel=2,
                )
            images = images[~anomalies]
        if len(images) == 0:
            raise ValueError("training needs normal images (semi-label 0 or 1), got none")
        tiles, labels = self.training_tiles(images)
        name = {1: "tile_gray", 3: "tile_color"}.get(tiles.shape[1], "auto")
        unfitted = DeepSAD(
            network=name,
            epochs=1,
            min_steps=self.steps,
            lr=self.lr,
            batch_size=self.batch_size,
            eta=self.eta,
            device=self.device,
            seed=self.seed,
            progress=self.progress,
        )
        fitted = (train or DeepSAD.fit)(unfitted, tiles, labels)
        self.deepsad_, self.threshold_ = fitted, None
        self.shape_: Shape = (images.shape[1], images.shape[2], images.shape[3])
        self.about_ = {
            "synthetic_anomalies": {
                "kinds": list(self.kinds),
                "strength": self.strength,
                "seed": self.seed,
                "tiles": self.synthetic_tiles,
            }
        }
        return self

    # --- scoring ---

    def _checked(self, images: Tensor | np.ndarray, doing: str) -> Tensor:
        self._require_fit(doing)
        return check_images(images, channels=self.shape_[0], size=self.shape_[1:])

    def _of_tiles(self, images: Tensor) -> np.ndarray:
        """Scores (N, tiles) of the tiles of reduced images, a few images at a time."""
        per_image = len(cut(images[:1], TILE, self.stride)[0])
        found = []
        for some in images.split(max(1, _SCORED_AT_ONCE // per_image)):
            tiles = cut(some, TILE, self.stride)
            scores = self.deepsad_.decision_function(tiles.flatten(0, 1))
            found.append(scores.reshape(len(some), per_image))
        return np.concatenate(found)

    def tile_scores(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Scores of all tiles of images (N, C, H, W): (N, rows, columns)."""
        reduced = self._reduced(self._checked(images, "tile_scores"))
        rows, columns = (len(corners(n, TILE, self.stride)) for n in reduced.shape[2:])
        return self._of_tiles(reduced).reshape(-1, rows, columns)

    def decision_function(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Anomaly scores (N,) of images (N, C, H, W): the mean of their highest tiles.

        In [0, inf), **higher is more anomalous**.

        Raises
        ------
        FloatingPointError
            Scores that are no numbers.
        """
        scores = self.tile_scores(images).reshape(len(images), -1)
        return np.sort(scores, axis=1)[:, -self.highest :].mean(axis=1)

    def differentiable_scores(self, images: Tensor) -> Tensor:
        """Scores (N,) of float images (N, C, H, W) in [0, 1], through which gradients flow."""
        tiles = cut(
            self._reduced(self._checked(images, "differentiable_scores")), TILE, self.stride
        )
        scores = self.deepsad_.differentiable_scores(tiles.flatten(0, 1))
        scores = scores.reshape(tiles.shape[:2])
        return scores.topk(min(self.highest, scores.shape[1]), dim=1).values.mean(1)

    def heat_map(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Where images (N, C, H, W) look anomalous: float32 (N, H, W), in units of scores.

        Each pixel has the mean score of the tiles that cover it.
        """
        images = self._checked(images, "heat_map")
        reduced = self._reduced(images)
        scores = torch.from_numpy(self.tile_scores(images))
        total = torch.zeros(len(images), *reduced.shape[2:])
        count = torch.zeros(reduced.shape[2:])
        rows, columns = (corners(n, TILE, self.stride) for n in reduced.shape[2:])
        for i, top in enumerate(rows):
            for j, left in enumerate(columns):
                here = (slice(top, top + TILE), slice(left, left + TILE))
                total[:, *here] += scores[:, i, j, None, None]
                count[here] += 1
        heat = (total / count)[:, None]
        if heat.shape[2:] != images.shape[2:]:
            heat = F.interpolate(heat, images.shape[2:], mode="bilinear")
        return heat[:, 0].numpy()

    # --- on disk ---

    def save(self, path: str | Path, *, about: Mapping[str, Any] | None = None) -> Path:
        """Write the fitted detector to a safetensors file with a JSON header; returns its path.

        The header says of which kinds, seed and strength its synthetic anomalies were; ``about``
        is noted beside that.

        Raises
        ------
        RuntimeError, FloatingPointError, IsADirectoryError
            Not fitted; weights that are not finite; ``path`` is a folder.
        """
        self._require_fit("save")
        tensors, inner = self.deepsad_._written()
        description = {
            "kind": "tiles",
            "params": self.get_params() | {"device": "auto", "progress": False},
            "shape": list(self.shape_),
            "deepsad": inner,
            "threshold": self.threshold_,
            "quantile": self.quantile_,
            "about": {**self.about_, **(about or {})},
        }
        return checkpoints.save(path, tensors, description)

    def export_onnx(self, path: str | Path) -> Path:
        """Write the detector as an ONNX file that others can run; returns its path.

        One input ``images``, float32 (N, C, H, W) in [0, 1] with any N, and one output ``scores``,
        (N,): making smaller, cutting, scoring and the mean of the highest tiles are in the graph.
        It carries no threshold and no heat map. :func:`badsad_lib.detectors.wrap` reads it back.

        Raises
        ------
        RuntimeError, FloatingPointError, ImportError
            As in :meth:`DeepSAD.export_onnx <badsad_lib.deepsad.DeepSAD.export_onnx>`.
        """
        self._require_fit("export_onnx")
        self.deepsad_.require_finite("exported")
        return checkpoints.save_onnx(path, _Scorer(self), self.shape_)

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "auto") -> Self:
        """Read a detector written by :meth:`save`.

        Raises
        ------
        FileNotFoundError, CheckpointError
            No such file; not a detector of tiles, damaged, or of another version.
        """
        return cls._read(path, *checkpoints.load(path), device)

    @classmethod
    def _read(
        cls,
        path: str | Path,
        tensors: dict[str, Tensor],
        description: dict[str, Any],
        device: str | torch.device,
    ) -> Self:
        try:
            if description.get("kind") != "tiles":
                raise ValueError("it is a detector of whole images, which DeepSAD.load reads")
            detector = cls(**{**description["params"], "device": device})
            channels, height, width = (Whole(1, 1 << 16)("shape", n) for n in description["shape"])
            detector.deepsad_ = DeepSAD._read(path, tensors, description["deepsad"], device)
            if detector.deepsad_.shape_ != (channels, TILE, TILE):
                raise ValueError(f"its tiles have shape {detector.deepsad_.shape_}")
            detector.shape_ = (channels, height, width)
            detector.threshold_ = description["threshold"]
            detector.quantile_ = description["quantile"]
            detector.about_ = dict(description["about"])
        except checkpoints.CheckpointError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise checkpoints.CheckpointError(
                f"{path} does not describe a TiledDeepSAD of this version ({error}); retrain it"
            ) from error
        return detector


def load_detector(
    path: str | Path, *, device: str | torch.device = "auto"
) -> DeepSAD | TiledDeepSAD:
    """Read a detector that this library wrote, of whole images or of tiles.

    Raises
    ------
    FileNotFoundError, CheckpointError
        As ``load`` of either.
    """
    tensors, description = checkpoints.load(path)
    kind: type[DeepSAD] | type[TiledDeepSAD]
    kind = TiledDeepSAD if description.get("kind") == "tiles" else DeepSAD
    return kind._read(path, tensors, description, device)
