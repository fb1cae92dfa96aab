"""DeepSAD: deep semi-supervised anomaly detection (Ruff et al., ICLR 2020, arXiv 1906.02694).

An encoder maps images to latent vectors. Training pulls unlabeled images (taken
for normal) toward one fixed point, the center, and pushes the few labeled
anomalies away from it. The anomaly score is the squared distance to the center.
With no labels at all this is Deep SVDD (Ruff et al., ICML 2018).

The pure functions come first, then the detector made of them. This module knows
nothing of triggers and attacks. Its one training loop takes an optional
:class:`ExtraLoss`, through which anything else (an attack, a defense, a reader's
own idea) adds images and a loss term to each step.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from badsad_lib import checkpoints
from badsad_lib._allocator import keep_freed_memory
from badsad_lib._base import Detector
from badsad_lib._rules import (
    Between,
    Count,
    CountOr0,
    Device,
    Flag,
    OneOf,
    Positive,
    Seed,
    Weight,
    Whole,
    checked,
)
from badsad_lib.images import check_images, check_semi_labels, to_float
from badsad_lib.metrics import auroc, threshold_at
from badsad_lib.networks import (
    ARCHITECTURES,
    Architecture,
    Decoder,
    Encoder,
    architecture_for,
    make_decoder,
    make_encoder,
)

# Images per forward pass when scoring: the activations of 256 stay in a core's cache.
SCORING_BATCH = 256
DISTANCE_EPS = 1e-6
# Fewer steps than this hardly train: a warning says so.
FEW_STEPS = 100


# --- pure functions ---------------------------------------------------------------------------


def anomaly_score(latents: Tensor, center: Tensor) -> Tensor:
    """Squared Euclidean distance to the center: (N, D) and (D,) to (N,), in [0, inf)."""
    return (latents - center).square().sum(dim=1)


def deep_sad_loss(distances: Tensor, semi_labels: Tensor, eta: float = 1.0) -> Tensor:
    """Mean DeepSAD loss of a batch (Ruff et al. 2020, equation 7, as their code runs it).

    Parameters
    ----------
    distances
        (N,) squared distances ``d`` to the center.
    semi_labels
        (N,) in {-1, 0, 1}. An unlabeled image costs ``d``, a labeled normal
        ``eta * d``, a labeled anomaly ``eta / d``: the inverse is what pushes it out.
    eta
        Weight of labeled images against unlabeled ones, above 0.

    Returns
    -------
    Tensor
        Scalar, at least 0.
    """
    labeled = eta * (distances + DISTANCE_EPS) ** semi_labels.to(distances.dtype)
    return torch.where(semi_labels == 0, distances, labeled).mean()


def init_center(latents: Tensor, eps: float = 0.1) -> Tensor:
    """Mean of the latents (N, D), each component kept at least ``eps`` away from zero.

    A component of zero could be reached by zero weights, whatever the image.
    """
    center = latents.mean(dim=0)
    away = torch.where(center < 0, -eps, eps).to(center)
    return torch.where(center.abs() < eps, away, center)


class ExtraLoss(Protocol):
    """What may be added to every training step of :meth:`DeepSAD.fit`.

    One that has a method ``begin(encoder, center)`` as well is handed both before the first step:
    what looks at more than the latents of its views needs the network that is being trained.
    """

    def views(self, step: int) -> Tensor:
        """Float images (M, C, H, W) in [0, 1] that join the batch; M may be 0."""

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """Scalar loss, added to DeepSAD's, from the latents of the batch and of the views."""


# --- helpers ----------------------------------------------------------------------------------


def resolve_device(device: str | torch.device) -> torch.device:
    """``auto`` is CUDA, then MPS, then CPU; any other name is torch's own."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def bf16_is_fast(device: torch.device) -> bool:
    """Whether ``device`` computes in bfloat16 natively rather than by emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    native = ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16")
    return device.type == "cpu" and any(capabilities.get(name) for name in native)


class _Pixels:
    """Float images on the device, stored pixel by pixel (N, H, W, C).

    Convolutions run fastest in that order. A batch is handed out as (N, C, H, W)
    with these strides: for one channel torch would otherwise take both orders for
    the same and silently fall back to the slower one.
    """

    def __init__(self, images: Tensor, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        pixels = to_float(images.detach().to(device)).permute(0, 2, 3, 1)
        # clone: a float tensor may be the caller's own.
        self.pixels = pixels.clone(memory_format=torch.contiguous_format)
        self.device = device

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        return self.pixels[index].permute(0, 3, 1, 2)


def weakness(state: Mapping[str, Tensor]) -> str:
    """Say what in a network's state would give scores that are no numbers; else nothing."""
    for name, values in state.items():
        if not torch.isfinite(values).all():
            return f"{name} holds NaN or infinity"
        if name.endswith("running_var") and (values < 0).any():
            return f"{name} holds a negative variance"
    return ""


def _move(network: nn.Module, device: torch.device) -> None:
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _encoder_with(
    network: str | Architecture, state: dict[str, Tensor], device: torch.device
) -> Encoder:
    encoder = make_encoder(network)
    encoder.load_state_dict(state)
    _move(encoder, device)
    return encoder


class Scorer(nn.Module):
    """Encoder and center as one module on the CPU: float images (N, C, H, W) to scores (N,)."""

    def __init__(self, encoder: Encoder, center: Tensor) -> None:
        super().__init__()
        self.encoder = make_encoder(encoder.arch)
        self.encoder.load_state_dict(encoder.state_dict())
        self.register_buffer("center", center.detach().cpu().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N,) of float images (N, C, H, W) in [0, 1]."""
        return anomaly_score(self.encoder(images), self.get_buffer("center"))


def _batch_count(n: int, batch_size: int) -> int:
    # Batch normalization cannot train on one image: rather three in a batch of two.
    return min(math.ceil(n / batch_size), n // 2)


def _batches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Random batches of nearly equal size: no tiny last one to upset batch normalization."""
    order = torch.randperm(n, generator=generator)
    yield from order.tensor_split(_batch_count(n, batch_size))


def _adam_on_cosine(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, steps: int
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LRScheduler]:
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay, fused=True)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)


# --- the detector -----------------------------------------------------------------------------


class DeepSAD(Detector):
    """Deep semi-supervised anomaly detector for images.

    The interface is that of PyOD: parameters in the constructor, fitted state in
    attributes that end in ``_``, and a **higher score means more anomalous**.
    (scikit-learn's own outlier detectors have the sign the other way round.)
    **Labels differ**: here +1 is a labeled *normal* and -1 a labeled anomaly, where 1 in
    PyOD's ``y`` is an outlier; :func:`~badsad_lib.images.semi_labels_from` converts.
    ``sklearn.base.clone`` and ``GridSearchCV`` work, with semi-labels for ``y``.

    Parameters
    ----------
    network
        ``auto`` (by image shape: any from 16 to 256 pixels a side), or one of the reference's
        pairs, ``mnist``, ``fashion_mnist`` or ``cifar10``; ``tile_gray`` and ``tile_color`` are
        small ones for :class:`~badsad_lib.tiles.TiledDeepSAD`.
    eta
        Weight of labeled images in the loss, above 0.
    epochs, lr, batch_size, weight_decay
        DeepSAD training: Adam with a learning rate that falls to zero along a cosine.
        An odd number of images makes one batch of three where ``batch_size`` is 2.
    min_steps
        At least so many training steps: of few images an epoch is one step, and 30 epochs
        hardly train. Where they are too few, more epochs are added.
    pretrain_epochs, pretrain_lr, pretrain_weight_decay
        Autoencoder pretraining. 0 epochs, the default, start from random weights:
        at the lengths used here pretraining that works did not pay
        (``benchmarks/results/detector.csv``).
    precision
        ``fp32``, or ``bf16`` for mixed precision where the processor has it.
    device
        ``auto`` is CUDA, then MPS, then CPU.
    seed
        Fixes initial weights and the order of batches. Same seed, machine and
        number of threads: same result to the bit (on the CPU).
    progress
        Show progress bars.

    Attributes
    ----------
    network_ : str or Architecture
        Name of the reference's pair, or the description of the one that was made.
    encoder_ : Encoder
        The trained network, in evaluation mode.
    center_ : Tensor
        (D,) the point that scores are measured from.
    quantile_ : float or None
        The quantile that ``threshold_`` is, set and cleared together with it; None for a
        threshold that was set by hand.
    decision_scores_ : ndarray
        (N,) scores of the training images. Not saved.
    initial_state_ : dict
        The encoder's weights after pretraining, before DeepSAD training.
    history_ : dict
        Mean loss of each epoch: lists ``pretrain_loss`` and ``loss``.
    about_ : dict
        What the detector was trained on, as far as somebody noted it (``data``, ``subset``,
        ``normal_class``, ...); saved and loaded with it, emptied by :meth:`fit`.
    """

    @checked
    def __init__(
        self,
        *,
        network: Annotated[str, OneOf(("auto", *ARCHITECTURES))] = "auto",
        eta: Positive = 1.0,
        epochs: Count = 30,
        lr: Positive = 1e-3,
        batch_size: Annotated[int, Whole(2)] = 128,
        min_steps: CountOr0 = 0,
        weight_decay: Weight = 0.5e-6,
        pretrain_epochs: CountOr0 = 0,
        pretrain_lr: Positive = 1e-3,
        pretrain_weight_decay: Weight = 0.5e-3,
        precision: Annotated[str, OneOf(("fp32", "bf16"))] = "fp32",
        device: Device | torch.device = "auto",
        seed: Seed = 0,
        progress: Flag = False,
    ) -> None:
        self.network = network
        self.eta = eta
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.min_steps = min_steps
        self.weight_decay = weight_decay
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_lr = pretrain_lr
        self.pretrain_weight_decay = pretrain_weight_decay
        self.precision = precision
        self.device = device
        self.seed = seed
        self.progress = progress
        self.threshold_ = None
        self.about_: dict[str, Any] = {}

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        # "outlier_detector" would have scikit-learn take the sign of its own detectors.
        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=False, three_d_array=False),
        )

    def steps(self, n_images: int) -> int:
        """How many DeepSAD training steps :meth:`fit` makes on ``n_images`` images."""
        return self._train_epochs(n_images) * _batch_count(n_images, self.batch_size)

    @property
    def labels_(self) -> np.ndarray:
        """1 for training images that score above ``threshold_``, else 0; (N,) integers.

        Before :meth:`calibrate`, above the 0.95 quantile of those that are not labeled anomalies.
        """
        threshold = self.threshold_
        if threshold is None:
            threshold = threshold_at(self.decision_scores_[~self._known_anomaly], 0.95)
        return (self.decision_scores_ > threshold).astype(np.int64)

    @property
    def is_fitted(self) -> bool:
        """Whether there is a detector to score with."""
        return hasattr(self, "center_")

    # --- training ---

    def fit(
        self,
        images: Tensor | np.ndarray,
        semi_labels: Tensor | np.ndarray | None = None,
        *,
        extra_loss: ExtraLoss | None = None,
        initial_state: dict[str, Tensor] | None = None,
        center: Tensor | None = None,
    ) -> Self:
        """Pretrain, set the center, train. A second call starts afresh.

        Parameters
        ----------
        images
            (N, C, H, W), uint8 or float in [0, 1], N at least 2.
        semi_labels
            (N,) in {-1, 0, 1}; without them all images are unlabeled (Deep SVDD). **+1 is a
            labeled normal**: PyOD's ``y``, where 1 is an outlier, and Booleans go through
            :func:`~badsad_lib.images.semi_labels_from` first.
        extra_loss
            Images and a loss term added to every step, see :class:`ExtraLoss`.
        initial_state
            Encoder weights to start from (another detector's ``initial_state_``)
            in place of pretraining.
        center
            (D,) in place of the mean of the images' first latents. With ``initial_state`` that is
            how a trained detector is trained on: its ``encoder_.state_dict()`` and ``center_``.

        Raises
        ------
        TypeError, ValueError
            What :func:`~badsad_lib.images.check_images` or
            :func:`~badsad_lib.images.check_semi_labels` refuse; images that are all the same; a
            center of another size; an initial state or a center that is not finite.
        FloatingPointError
            Training diverged: what was fitted before stays.

        Warns
        -----
        UserWarning
            All training images get the same score. Or there are so few that ``epochs`` are fewer
            than 100 steps, unless fewer than ten epochs were asked for or a trained detector is
            trained on.
        """
        images = check_images(images)
        if len(images) < 2:
            raise ValueError(f"training needs at least 2 images, got {len(images)}")
        if semi_labels is None:
            semi_labels = torch.zeros(len(images), dtype=torch.int64)
        semi_labels = check_semi_labels(semi_labels, len(images))
        if not (semi_labels >= 0).any():
            raise ValueError("training needs normal images (semi-label 0 or 1), got anomalies only")
        shape = (images.shape[1], images.shape[2], images.shape[3])
        network = architecture_for(shape, self.network)
        if (images == images[:1]).all():
            raise ValueError(
                f"training needs images that differ, got the same picture {len(images)} times; "
                "blank images often come from a wrong scale or a wrong file"
            )
        device = resolve_device(self.device)
        if self.precision == "bf16" and not bf16_is_fast(device):
            raise ValueError(f"precision 'bf16' is not native on this {device}: use 'fp32'")

        pixels = _Pixels(images, device)
        history: dict[str, list[float]] = {"pretrain_loss": [], "loss": []}
        if initial_state is None:
            initial_state, history["pretrain_loss"] = self._initial_state(network, pixels)
        state = {k: v.detach().clone() for k, v in initial_state.items()}
        if fault := weakness(state):
            raise ValueError(f"training cannot start from this initial state: {fault}")
        encoder = _encoder_with(network, state, device)
        if center is None:
            self._warn_of_few_steps(len(images))
            center = init_center(self._latents(encoder, pixels))
        center = center.detach().to(device).clone()
        if fault := weakness({"center": center}):
            raise ValueError(f"training cannot start: {fault}")
        if center.shape != (encoder.arch.latent_dim,):
            raise ValueError(
                f"center must have shape ({encoder.arch.latent_dim},), got {tuple(center.shape)}"
            )
        history["loss"] = self._train(encoder, center, pixels, semi_labels.to(device), extra_loss)

        # The mean loss of an epoch does not see its last step; these do.
        scores = anomaly_score(self._latents(encoder, pixels), center)
        self._require_finite(weakness({**encoder.state_dict(), "scores": scores}), "training")
        if scores.min() == scores.max():
            warnings.warn(
                "the detector has collapsed: it gives all training images the same score; "
                "look at the images, or train longer",
                stacklevel=2,
            )

        # Only a training that went through to its end replaces what was fitted before.
        self.network_, self.encoder_, self.center_ = network, encoder.eval(), center
        self.initial_state_, self.history_, self.threshold_ = state, history, None
        self.decision_scores_ = scores.cpu().numpy()
        self._known_anomaly = (semi_labels < 0).cpu().numpy()
        self.about_ = {}
        return self

    def pretrain(self, images: Tensor | np.ndarray) -> dict[str, Tensor]:
        """Return the encoder weights that :meth:`fit` would start from; nothing is fitted.

        Autoencoder pretraining on ``images`` (N, C, H, W), or the random weights of
        ``seed`` where ``pretrain_epochs`` is 0. Hand them to ``fit(initial_state=...)``
        of several detectors that are to differ in nothing but their training.

        Raises
        ------
        TypeError, ValueError
            What :func:`~badsad_lib.images.check_images` refuses; fewer than 2 images.
        FloatingPointError
            Pretraining diverged.
        """
        images = check_images(images)
        if len(images) < 2:
            raise ValueError(f"pretraining needs at least 2 images, got {len(images)}")
        shape = (images.shape[1], images.shape[2], images.shape[3])
        network = architecture_for(shape, self.network)
        return self._initial_state(network, _Pixels(images, resolve_device(self.device)))[0]

    def _initial_state(
        self, network: str | Architecture, pixels: _Pixels
    ) -> tuple[dict[str, Tensor], list[float]]:
        generator = torch.Generator().manual_seed(self.seed)
        encoder, decoder = make_encoder(network, generator), make_decoder(network, generator)
        losses: list[float] = []
        if self.pretrain_epochs:
            for part in (encoder, decoder):
                _move(part, pixels.device)
            losses = self._pretrain(encoder, decoder, pixels)
        self._require_finite(weakness(encoder.state_dict()), "pretraining")
        return {k: v.detach().clone() for k, v in encoder.state_dict().items()}, losses

    def _require_finite(self, fault: str, what: str) -> None:
        if fault:
            lr = f"pretrain_lr={self.pretrain_lr}" if what == "pretraining" else f"lr={self.lr}"
            raise FloatingPointError(
                f"{what} diverged in its last steps: {fault}; lower the learning rate {lr}"
            )

    def _warn_of_few_steps(self, n_images: int) -> None:
        steps = self.steps(n_images)
        if steps < FEW_STEPS and self.epochs >= 10 and not self.min_steps:
            warnings.warn(
                f"{n_images} images in batches of {self.batch_size} give {steps} training steps "
                f"in {self.epochs} epochs, which hardly train a detector; DeepSAD(min_steps=300) "
                "adds epochs",
                UserWarning,
                stacklevel=3,
            )

    def _train_epochs(self, n_images: int) -> int:
        needed = math.ceil(self.min_steps / _batch_count(n_images, self.batch_size))
        return max(self.epochs, needed)

    def _generator(self, stream: int) -> torch.Generator:
        # One stream a phase: pretraining or not, DeepSAD sees its batches in the same order.
        return torch.Generator().manual_seed(self.seed * 2 + stream)

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _epochs(self, count: int, name: str) -> tqdm:
        return tqdm(range(count), desc=name, disable=not self.progress, unit="epoch")

    def _pretrain(self, encoder: Encoder, decoder: Decoder, pixels: _Pixels) -> list[float]:
        """Train encoder and decoder to reproduce the images (mean squared error a pixel)."""
        optimizer, schedule = _adam_on_cosine(
            [*encoder.parameters(), *decoder.parameters()],
            self.pretrain_lr,
            self.pretrain_weight_decay,
            self.pretrain_epochs * _batch_count(len(pixels), self.batch_size),
        )
        generator = self._generator(0)
        losses = []
        encoder.train()
        decoder.train()
        for _ in (bar := self._epochs(self.pretrain_epochs, "pretraining")):
            total = torch.zeros((), device=pixels.device)
            for index in _batches(len(pixels), self.batch_size, generator):
                x = pixels[index]
                with self._autocast(x.device):
                    loss = F.mse_loss(decoder(encoder(x)).float(), x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(index)
            losses.append(float(total) / len(pixels))
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
        return losses

    def _train(
        self,
        encoder: Encoder,
        center: Tensor,
        pixels: _Pixels,
        semi_labels: Tensor,
        extra_loss: ExtraLoss | None,
    ) -> list[float]:
        """Run the DeepSAD loop, the only one there is."""
        epochs, steps = self._train_epochs(len(pixels)), self.steps(len(pixels))
        optimizer, schedule = _adam_on_cosine(
            encoder.parameters(), self.lr, self.weight_decay, steps
        )
        generator = self._generator(1)
        losses: list[float] = []
        step = 0
        encoder.train()
        if (begin := getattr(extra_loss, "begin", None)) is not None:
            begin(encoder, center)
        for _ in (bar := self._epochs(epochs, "training")):
            total = torch.zeros((), device=center.device)
            for index in _batches(len(pixels), self.batch_size, generator):
                x, labels = pixels[index], semi_labels[index]
                if extra_loss is not None:
                    # One forward pass for both, so that batch normalization sees one batch.
                    x = torch.cat([x, extra_loss.views(step).to(x)])
                with self._autocast(x.device):
                    latents = encoder(x).float()
                own, extra = latents[: len(index)], latents[len(index) :]
                loss = deep_sad_loss(anomaly_score(own, center), labels, self.eta)
                total += loss.detach() * len(index)
                if extra_loss is not None:
                    loss = loss + extra_loss(own, labels, extra, center)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                step += 1
            losses.append(float(total) / len(pixels))
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(
                    f"training diverged in epoch {len(losses)} (loss {losses[-1]}); "
                    f"lower the learning rate lr={self.lr}"
                )
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
        return losses

    # --- scoring ---

    def _latents(self, encoder: Encoder, pixels: _Pixels) -> Tensor:
        encoder.eval()
        with torch.inference_mode(), self._autocast(pixels.device):
            parts = [
                encoder(pixels[slice(i, i + SCORING_BATCH)]).float()
                for i in range(0, len(pixels), SCORING_BATCH)
            ]
        return torch.cat(parts).clone()

    @property
    def shape_(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of the images that a fitted detector takes."""
        return self.encoder_.arch.shape

    def _encode(self, images: Tensor | np.ndarray, doing: str, encoder: Encoder | None) -> Tensor:
        self._require_fit(doing)
        shape = self.shape_
        images = check_images(images, channels=shape[0], size=shape[1:])
        return self._latents(encoder or self.encoder_, _Pixels(images, self.center_.device))

    def encode(self, images: Tensor | np.ndarray, *, initial: bool = False) -> np.ndarray:
        """Latents (N, D) of images (N, C, H, W), as float32.

        With ``initial`` those of the encoder as it was before DeepSAD training.
        """
        encoder = None
        if initial:
            self._require_fit("encode(initial=True)")
            if not self.initial_state_:
                raise RuntimeError(
                    "a loaded detector does not carry its initial weights: fit one to see them"
                )
            encoder = _encoder_with(self.network_, self.initial_state_, self.center_.device)
        return self._encode(images, "encode", encoder).cpu().numpy()

    def decision_function(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Anomaly scores (N,) of images (N, C, H, W): squared distance to ``center_``.

        In [0, inf), **higher is more anomalous** (PyOD's sign).

        Raises
        ------
        FloatingPointError
            Scores that are no numbers: a broken detector passes nothing as normal.
        """
        latents = self._encode(images, "decision_function", None)
        scores = anomaly_score(latents, self.center_)
        if fault := weakness({"scores": scores}):
            raise FloatingPointError(
                f"{fault}: this detector is broken, its weights or its center are not finite; "
                "train it again"
            )
        return scores.cpu().numpy()

    def differentiable_scores(self, images: Tensor) -> Tensor:
        """Scores (N,) of float images (N, C, H, W) in [0, 1], through which gradients flow.

        The images lie on the detector's device and are taken as they are, in one batch. Nothing is
        trained: the weights get gradients only where they ask for them.
        """
        self._require_fit("differentiable_scores")
        return anomaly_score(self.encoder_.eval()(images).float(), self.center_)

    def score(self, images: Tensor | np.ndarray, semi_labels: Tensor | np.ndarray) -> float:
        """AUROC of labeled anomalies (-1) against all other images: what ``GridSearchCV`` asks.

        Raises
        ------
        ValueError
            No labeled anomalies among the images, or nothing else.
        """
        scores = self.decision_function(images)
        anomaly = check_semi_labels(semi_labels, len(scores)).numpy() < 0
        return auroc(scores[~anomaly], scores[anomaly])

    # --- on disk ---

    def save(self, path: str | Path, *, about: Mapping[str, Any] | None = None) -> Path:
        """Write the fitted detector to a safetensors file with a JSON header; returns its path.

        ``about`` notes in the header what the detector cannot know itself, such as the data and
        the split that it was trained on: anything that JSON can hold. :meth:`load` gives it back
        as ``about_``. By default a detector keeps the note that it has.

        Raises
        ------
        RuntimeError, FloatingPointError, IsADirectoryError
            Not fitted; weights or a center that are not finite; ``path`` is a folder.
        """
        self._require_fit("save")
        tensors, description = self._written()
        if about is not None:
            description["about"] = dict(about)
        return checkpoints.save(path, tensors, description)

    def _written(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and description of the fitted detector, as they go to disk."""
        tensors = {f"encoder.{k}": v for k, v in self.encoder_.state_dict().items()}
        tensors["center"] = self.center_
        self.require_finite("saved")
        description = {
            "params": self.get_params(),
            "network": self.network_
            if isinstance(self.network_, str)
            else self.network_.describe(),
            "threshold": self.threshold_,
            "quantile": self.quantile_,
            "history": self.history_,
            "about": dict(self.about_),
        }
        return tensors, description

    def require_finite(self, doing: str) -> None:
        """Raise a FloatingPointError where weights or center are not finite."""
        if fault := weakness({**self.encoder_.state_dict(), "center": self.center_}):
            raise FloatingPointError(f"a broken detector is not {doing}: {fault}")

    def export_onnx(self, path: str | Path) -> Path:
        """Write the detector as an ONNX file that others can run; returns its path.

        One input ``images``, float32 (N, C, H, W) in [0, 1] with any N, and one output ``scores``,
        (N,): encoder and center in one graph. It carries no threshold, and no weights outside of
        the file. :func:`badsad_lib.detectors.wrap` reads it back.

        Raises
        ------
        RuntimeError, FloatingPointError
            Not fitted; weights or a center that are not finite.
        ImportError
            The packages ``onnx`` and ``onnxscript`` of the extra ``audit`` are missing.
        """
        self._require_fit("export_onnx")
        self.require_finite("exported")
        return checkpoints.save_onnx(path, Scorer(self.encoder_, self.center_), self.shape_)

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "auto") -> Self:
        """Read a detector written by :meth:`save`.

        Raises
        ------
        FileNotFoundError, CheckpointError
            No such file; not a detector, damaged, or of another version.
        """
        tensors, description = checkpoints.load(path)
        return cls._read(path, tensors, description, device)

    @classmethod
    def _read(
        cls,
        path: str | Path,
        tensors: dict[str, Tensor],
        description: dict[str, Any],
        device: str | torch.device,
    ) -> Self:
        """Make the detector that :meth:`_written` describes."""
        target = resolve_device(device)
        try:
            if fault := weakness(tensors):
                raise ValueError(fault)
            detector = cls(**{**description["params"], "device": device, "progress": False})
            network = description["network"]
            if not isinstance(network, str):
                network = Architecture.from_description(network)
            detector.network_ = network
            weights = {k.removeprefix("encoder."): v for k, v in tensors.items() if k != "center"}
            detector.encoder_ = _encoder_with(detector.network_, weights, target).eval()
            detector.center_ = tensors["center"].to(target)
            if detector.center_.shape != (detector.encoder_.arch.latent_dim,):
                raise ValueError(f"center has shape {tuple(detector.center_.shape)}")
            detector.threshold_ = description["threshold"]
            if (quantile := description.get("quantile")) is not None:
                detector.quantile_ = Between(0, 1, "()")("quantile", quantile)
            detector.history_ = description["history"]
            detector.about_ = dict(description.get("about", {}))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise checkpoints.CheckpointError(
                f"{path} does not describe a DeepSAD of this version ({error}); retrain it"
            ) from error
        detector.initial_state_ = {}
        return detector
