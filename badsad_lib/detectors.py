"""Detectors of any make: what a defense may ask of one, and adapters that make it answer.

A detector gives at least *scores*: ``decision_function`` takes images (N, C, H, W), uint8 or float
in [0, 1], and returns (N,) scores, **higher is more anomalous**. Some also give *gradients* of the
score by the image, and :class:`~badsad_lib.deepsad.DeepSAD` gives its *weights*, which a repair
trains on. :func:`access_of` says which of the three it is; :func:`require` refuses in clear words.

:func:`wrap` makes one of what others have trained: an estimator of scikit-learn, a model of PyOD,
a ``torch.nn.Module``, a TorchScript or ONNX file, or any function. Sign and layout of each library
are turned into those above; what the model wants done to an image before belongs to the wrap.

Files are opened as if they were hostile. Nothing here unpickles. An ONNX file is data; one that
refers to further files is refused. TorchScript and Python files *run what their author wrote*, so
they want ``allow_code=True``, and better a machine that may be lost.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib
import importlib.util
import math
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from badsad_lib._base import Thresholded
from badsad_lib._rules import Count, Positive, checked
from badsad_lib.checkpoints import SUFFIX
from badsad_lib.deepsad import DeepSAD, anomaly_score
from badsad_lib.images import check_images, to_float
from badsad_lib.metrics import Scores, auroc
from badsad_lib.tiles import TiledDeepSAD, load_detector

Shape = tuple[int, int, int]

MOST_BYTES = 2**30
"""The largest file that is opened as a detector."""
MOST_SECONDS = 30.0
"""An ONNX file is stopped after so long an image: it may hold a loop that never ends."""
MOST_MEMORY = 2**33
"""What an ONNX file may allocate, in bytes, whatever it asks for."""


class ScoringError(ValueError):
    """A detector of another make failed on images, or gave something other than scores."""


class Access(IntEnum):
    """How far one can look into a detector; each level includes those below."""

    SCORES = 1
    GRADIENTS = 2
    WEIGHTS = 3


# --- protocols ------------------------------------------------------------------------------------


@runtime_checkable
class ScoreDetector(Protocol):
    """Anything that scores images: the least that a guard, a metric or the audit needs."""

    threshold_: float | None

    @property
    def is_fitted(self) -> bool:
        """Whether there is something to score with."""

    @property
    def shape_(self) -> Shape | None:
        """Shape (C, H, W) of the images that it takes; None where it does not say."""

    def decision_function(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Scores (N,) of images (N, C, H, W), finite; **higher is more anomalous**."""


@runtime_checkable
class GradientDetector(ScoreDetector, Protocol):
    """A detector whose score can be differentiated by the image."""

    def differentiable_scores(self, images: Tensor) -> Tensor:
        """Scores (N,) of float images (N, C, H, W) in [0, 1], through which gradients flow."""


def access_of(detector: Any) -> Access:
    """Return how far one can look into a detector.

    Raises
    ------
    TypeError
        It is none: it has no ``decision_function`` of images; :func:`wrap` makes one.
    """
    if isinstance(detector, DeepSAD):
        return Access.WEIGHTS
    if isinstance(detector, Wrapped):
        return detector.access
    if isinstance(detector, GradientDetector):
        return Access.GRADIENTS
    if isinstance(detector, ScoreDetector):
        return Access.SCORES
    raise TypeError(
        f"{type(detector).__name__} is not a detector of this library: "
        "detectors.wrap(...) makes one of it"
    )


_GIVES = {
    Access.SCORES: "scores",
    Access.GRADIENTS: "scores and their gradients",
    Access.WEIGHTS: "its weights, as a DeepSAD does",
}


def require(detector: Any, access: Access, who: str) -> None:
    """Refuse a detector that gives less than ``access``.

    Raises
    ------
    TypeError
        The message names what ``who`` needs and what there is.
    """
    if (has := access_of(detector)) < access:
        raise TypeError(
            f"{who} needs a detector that gives {_GIVES[access]}, "
            f"but this one gives only {_GIVES[has]}"
        )


# --- before the model -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Preprocessing:
    """What is done to images before a model sees them, in this order.

    Attributes
    ----------
    color
        ``keep``, ``gray`` (one channel, by luminance, ITU-R BT.601) or ``rgb`` (three).
    size
        Height and width that images are resized to, bilinear with antialiasing; None keeps theirs.
    scale
        ``unit`` hands on [0, 1], to an ONNX file that takes bytes 0 to 255; ``255`` hands on 0 to
        255; ``(mean, std)`` standardizes: each a number, or one for each channel.
    """

    color: str = "keep"
    size: tuple[int, int] | None = None
    scale: str | tuple[Any, Any] = "unit"

    def __post_init__(self) -> None:
        if self.color not in ("keep", "gray", "rgb"):
            raise ValueError(f"color must be 'keep', 'gray' or 'rgb', got {self.color!r}")
        if self.size is not None:
            size = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
            if len(size) != 2 or not all(isinstance(v, int) and 1 <= v <= 4096 for v in size):
                raise ValueError(f"size must be (height, width) in pixels, got {self.size!r}")
            object.__setattr__(self, "size", size)
        if isinstance(self.scale, str):
            if self.scale not in ("unit", "255"):
                raise ValueError(f"scale must be 'unit', '255' or (mean, std), got {self.scale!r}")
            return
        mean, std = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in self.scale)
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ValueError(f"scale must be (mean, std) with std above 0, got {self.scale!r}")

    @property
    def is_nothing(self) -> bool:
        """Whether images pass as they are, but for float in [0, 1]."""
        return self == Preprocessing()

    def __call__(self, images: Tensor) -> Tensor:
        """Prepare float images (N, C, H, W) in [0, 1]; gradients pass."""
        if self.color == "gray" and images.shape[1] == 3:
            weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
            images = (images * weights).sum(1, keepdim=True)
        elif self.color == "rgb" and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if self.size is not None and tuple(images.shape[2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        if self.scale == "255":
            return images * 255
        if isinstance(self.scale, str):
            return images
        mean, std = (images.new_tensor(np.atleast_1d(v)).view(1, -1, 1, 1) for v in self.scale)
        if (count := max(mean.numel(), std.numel())) not in (1, images.shape[1]):
            raise ScoringError(
                f"scale has numbers for {count} channels, images have {images.shape[1]}: give one "
                "number, or one for each channel (--scale), or other colors (--color)"
            )
        return (images - mean) / std


# --- the models behind ----------------------------------------------------------------------------


class _Model(ABC):
    """What an adapter makes of a model of another make."""

    differentiable: bool = False
    shape: Shape | None = None  # of one prepared image, where the model says
    channels: int | None = None  # of one prepared image, where it says at least that
    features: int | None = None  # numbers in it, where the model knows no shape

    @abstractmethod
    def scores(self, prepared: Tensor) -> Tensor:
        """Raw output (N,) for float images (N, C, H, W)."""

    def flattened(self, prepared: Tensor) -> np.ndarray:
        """Float images (N, C, H, W) as (N, C * H * W), as many numbers an image as it takes."""
        array = prepared.detach().cpu().numpy().reshape(len(prepared), -1)
        if self.features not in (None, array.shape[1]):
            c, h, w = prepared.shape[1:]
            raise ScoringError(
                f"this model was fitted on {self.features} numbers an image, images of "
                f"{c} channel(s) and {h}x{w} pixels have {array.shape[1]}: give wrap() the "
                "size and the color that it was fitted on (--size, --color)"
            )
        return array


class _Function(_Model):
    """A function of a NumPy array, flattened to (N, C * H * W) where the library wants that."""

    def __init__(self, function: Callable[[np.ndarray], Any], features: int | None, flat: bool):
        self.function, self.features, self.flat = function, features, flat

    def scores(self, prepared: Tensor) -> Tensor:
        array = prepared.detach().cpu().numpy()
        if self.flat:
            array = self.flattened(prepared)
        found = self.function(array)
        if isinstance(found, Tensor):
            found = found.detach().cpu().numpy()
        return torch.from_numpy(_numbers(found, len(array)))


def _numbers(found: Any, count: int) -> np.ndarray:
    """Return what a function gave as float64 (N,), where it is one real number an image."""
    try:
        values = np.asarray(found)
    except ValueError:  # rows of different lengths
        values = np.asarray(None)
    if values.dtype.kind not in "biuf":
        what = f"{type(found).__name__} of {values.dtype}" if values.ndim else type(found).__name__
        raise ScoringError(
            f"the detector must give one score an image, (N,) real numbers, got {what}: wrap a "
            "function that returns them"
        )
    if values.shape not in ((count,), (count, 1)):
        raise ScoringError(
            f"the detector must give one score an image, got shape {values.shape} for {count} "
            "images: wrap a function that returns (N,) scores"
        )
    return np.array(values, dtype=np.float64).reshape(count)


class _Module(_Model):
    """A ``torch.nn.Module``, TorchScript included, in evaluation mode."""

    differentiable = True

    def __init__(self, module: nn.Module, center: Tensor | None) -> None:
        # A copy: whoever trains the original on does not change what is examined.
        self.module = copy.deepcopy(module).eval()
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        self.center = center
        held = (*self.module.parameters(), *self.module.buffers())
        # Half and double precision take images of their own kind only.
        self.dtype = next((one.dtype for one in held if one.is_floating_point()), torch.float32)

    def scores(self, prepared: Tensor) -> Tensor:
        return _reduced(self.module(prepared.to(self.dtype)), self.center)


class _Ours(_Model):
    """A detector of this library that gets its images prepared."""

    differentiable = True

    def __init__(self, detector: DeepSAD | TiledDeepSAD) -> None:
        self.detector, self.shape = detector, detector.shape_

    def scores(self, prepared: Tensor) -> Tensor:
        return self.detector.differentiable_scores(prepared)


_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")


class _Onnx(_Model):
    """An ONNX model, run by onnxruntime."""

    def __init__(self, path: Path, output: str | None, center: Tensor | None) -> None:
        content = _read(path)
        _refuse_external_data(path, content)
        runtime = _package("onnxruntime", "to run an ONNX file")
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        if _memory_is_limited(runtime):
            options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            self.session = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no class of their own
            raise ValueError(f"onnxruntime cannot run {path}: {_first_line(error)}") from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) not in (2, 4):
            shapes = {one.name: one.shape for one in inputs}
            raise ValueError(
                f"{path} must have one input of images, (N, C, H, W) or flattened, got {shapes}"
            )
        floats = [one.name for one in outputs if one.type in _FLOATS]
        # Where it says which one holds a single number an image, those are the scores.
        single = [one.name for one in outputs if one.name in floats and _is_single(one.shape)]
        if output is not None and output not in (names := [one.name for one in outputs]):
            raise ValueError(f"{path} has no output {output!r}; choose one of {names}")
        if (output or next(iter(floats), None)) not in floats:
            types = {one.name: one.type for one in outputs}
            raise ValueError(
                f"{path} must have an output of floats, the scores, got {types}"
                + (f"; choose one of {floats}" if floats else "")
            )
        usual = floats[0] if center is not None else (single or floats)[0]
        self.path, self.output, self.center = path, output or usual, center
        self.runtime, self.input, self.floats = runtime, inputs[0], floats
        kinds: dict[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
        kinds |= {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
        if self.input.type not in kinds:
            raise ValueError(
                f"{path} takes {self.input.type}, expected one of {', '.join(kinds)}: export it "
                "with an input of such images"
            )
        self.dtype = kinds[self.input.type]
        fixed = [side if isinstance(side, int) else None for side in self.input.shape]
        self.batch, self.flat = fixed[0], len(fixed) == 2
        self.sides = fixed[1:]
        if self.flat:
            self.features = fixed[1]
        else:
            self.channels = fixed[1]
            if None not in self.sides:
                self.shape = (int(fixed[1] or 0), int(fixed[2] or 0), int(fixed[3] or 0))

    def scores(self, prepared: Tensor) -> Tensor:
        array = self.flattened(prepared) if self.flat else prepared.detach().cpu().numpy()
        if any(want not in (None, got) for want, got in zip(self.sides, array.shape[1:])):
            wanted = "x".join("any" if side is None else str(side) for side in self.sides)
            got = "x".join(map(str, array.shape[1:]))
            raise ScoringError(
                f"{self.path} takes images of {wanted} (channels, height and width), got {got}: "
                "give wrap() its size and color (--size, --color)"
            )
        if self.dtype == np.uint8:
            array = array.round().clip(0, 255)
        array = np.ascontiguousarray(array.astype(self.dtype))
        parts = []
        for start in range(0, len(array), step := self.batch or len(array)):
            batch = array[start : start + step]
            # A model of fixed batch size gets its last image again, and that score is dropped.
            full = np.concatenate([batch, batch[-1:].repeat(step - len(batch), axis=0)])
            try:
                [found] = self._run(full)
            except Exception as error:
                why = _first_line(error)
                if "memory" in str(error).lower():
                    why = f"it asks for more than {MOST_MEMORY / 2**30:.0f} GB of memory for them; "
                    why += "hand over fewer at a time (batch_size=..., --batch-size)"
                raise ScoringError(
                    f"{self.path} failed on {len(full)} images of shape "
                    f"{tuple(prepared.shape[1:])}: {why}"
                ) from error
            if found.ndim == 0 or len(found) != len(full):
                raise ScoringError(
                    f"output {self.output!r} of {self.path} must be one row an image, got shape "
                    f"{found.shape} for {len(full)} images"
                )
            parts.append(torch.from_numpy(np.array(found[: len(batch)], dtype=np.float64)))
        try:
            return _reduced(torch.cat(parts), self.center)
        except ScoringError as error:
            if len(self.floats) == 1:
                raise
            raise ScoringError(
                f"output {self.output!r} of {self.path}: {error}; or choose another output of "
                f"{self.floats} (output=..., --output)"
            ) from error

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        """Run it on a batch; a file that does not come to an end is stopped."""
        options = self.runtime.RunOptions()
        seconds = MOST_SECONDS * len(images)
        timer = threading.Timer(seconds, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            return self.session.run([self.output], {self.input.name: images}, options)
        except Exception as error:
            if options.terminate:
                raise TimeoutError(f"stopped after {seconds:g} s, without a score") from error
            raise
        finally:
            timer.cancel()


def _is_single(shape: Sequence[Any]) -> bool:
    """Whether an output of this shape is one number an image; of unknown sides nobody knows."""
    return 1 <= len(shape) <= 4 and all(side == 1 for side in shape[1:])


@functools.cache
def _memory_is_limited(runtime: Any) -> bool:
    """Limit what all ONNX files together may allocate; whether this onnxruntime can do that."""
    try:
        place = runtime.OrtMemoryInfo(
            "Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT
        )
        # -1 leaves a setting as it is; 1 asks for as much as is needed, not for twice as much.
        limits = runtime.OrtArenaCfg(MOST_MEMORY, 1, -1, -1)
        runtime.create_and_register_allocator(place, limits)
    except Exception:  # its errors share no class; somebody else may have set one
        return False
    return True


def _reduced(output: Any, center: Tensor | None) -> Tensor:
    """Turn an output into scores (N,): it is one, or a latent (N, D) with a center (D,)."""
    if not isinstance(output, Tensor):
        raise ScoringError(
            f"the model must return one tensor, got {type(output).__name__}: wrap a module that "
            "returns the score, or the latent"
        )
    if center is not None:
        if output.ndim < 2 or math.prod(output.shape[1:]) != len(center):
            raise ScoringError(
                f"center must have as many numbers as a latent, got {len(center)} for an output "
                f"of shape {tuple(output.shape)}"
            )
        return anomaly_score(output.flatten(1), center.to(output))
    if output.ndim > 1 and math.prod(output.shape[1:]) != 1:
        raise ScoringError(
            f"the model must return one score an image, got shape {tuple(output.shape)}: a latent "
            "needs wrap(..., center=...), a reconstruction a module that returns its error; on the "
            "command line, made in a file of your own, my_detector.py:NAME with --allow-code"
        )
    return output.flatten()


def _package(name: str, why: str) -> Any:
    """Import a package that not every user has."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is needed {why}: pip install 'badsad-lib[audit]', in a clone "
            "pip install -r requirements.txt"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, a detector at most {MOST_BYTES:,}")
    return path.read_bytes()


def _refuse_external_data(path: Path, content: bytes) -> None:
    onnx = _package("onnx", "to look into an ONNX file")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's, which changed its name more than once
        raise ValueError(
            f"{path} is not an ONNX file, or was cut off ({_first_line(error)}): fetch it again"
        ) from error
    if not model.graph.node:
        raise ValueError(f"{path} holds no graph, it is empty or was cut off: fetch it again")
    for message in _messages(model):
        if message.DESCRIPTOR.name == "TensorProto" and (
            message.external_data or message.data_location == onnx.TensorProto.EXTERNAL
        ):
            raise ValueError(
                f"{path} keeps weights in other files ({message.name!r}), which may name any file "
                "of this machine: refused; ask for one file (external_data=False)"
            )


def _messages(message: Any) -> Any:
    """Walk a protobuf message with all that is in it: graphs nest in attributes and functions."""
    waiting = [message]
    while waiting:
        yield (message := waiting.pop())
        for field, value in message.ListFields():
            if field.message_type is None or field.message_type.GetOptions().map_entry:
                continue
            waiting.extend([value] if hasattr(value, "ListFields") else value)


# --- a wrapped detector ---------------------------------------------------------------------------


class Wrapped(Thresholded):
    """A detector of another make that answers like one of this library; see :func:`wrap`.

    Attributes
    ----------
    kind : str
        What it was made of: ``scikit-learn``, ``PyOD``, ``module``, ``TorchScript``, ``ONNX``,
        ``DeepSAD`` or ``function``.
    preprocessing : Preprocessing
        What is done to images first.
    threshold_, quantile_ : float or None
        Set by :meth:`calibrate`.
    digest_ : str or None
        SHA-256 of the ONNX or TorchScript file that it was opened from; None for anything else,
        of which nobody knows whether it is the same again.
    """

    is_fitted = True

    def __init__(
        self,
        model: _Model,
        kind: str,
        *,
        sign: int = 1,
        preprocessing: Preprocessing | None = None,
        batch_size: int = 256,
    ) -> None:
        self._model, self.kind, self._sign = model, kind, sign
        self.preprocessing = preprocessing or Preprocessing()
        self.batch_size = batch_size
        self.about_: dict[str, Any] = {}
        self.digest_: str | None = None
        self.threshold_ = None

    def __repr__(self) -> str:
        return f"Wrapped({self.kind}, {self.preprocessing}, {self.access.name.lower()})"

    @property
    def access(self) -> Access:
        """What it gives: scores, or gradients as well."""
        return Access.GRADIENTS if self._model.differentiable else Access.SCORES

    @property
    def shape_(self) -> Shape | None:
        """Shape (C, H, W) of the images that it takes, or None where any will do or none is known.

        A size or color of its preprocessing takes images of any.
        """
        kept = self.preprocessing.size is None and self.preprocessing.color == "keep"
        return self._model.shape if kept else None

    @property
    def channels_(self) -> int | None:
        """Channels of the images that it takes, where the model says at least that."""
        shape = self.shape_
        if shape is not None:
            return shape[0]
        return self._model.channels if self.preprocessing.color == "keep" else None

    @property
    def features(self) -> int | None:
        """How many numbers an image has to have once it is prepared, where the model says that."""
        return self._model.features

    def decision_function(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Scores (N,) of images (N, C, H, W), higher is more anomalous.

        Raises
        ------
        TypeError, ValueError
            What :func:`~badsad_lib.images.check_images` refuses.
        ScoringError
            A model that does not take the images or fails on them; an output that is not one
            number an image.
        FloatingPointError
            Scores that are no numbers.
        """
        shape = self.shape_
        if shape is None:
            images = check_images(images)
        else:
            images = check_images(images, channels=shape[0], size=shape[1:])
        parts = []
        with torch.no_grad():
            for batch in images.split(self.batch_size):
                found = self._scores(to_float(batch)).detach().cpu().numpy().astype(np.float64)
                if found.shape != (len(batch),):
                    raise ScoringError(
                        f"the detector must give one score an image, got shape {found.shape} "
                        f"for {len(batch)} images"
                    )
                parts.append(found)
        scores = np.concatenate(parts)
        if bad := int((~np.isfinite(scores)).sum()):
            raise FloatingPointError(
                f"{bad} of {len(scores)} scores are NaN or infinity: this detector is broken, or "
                "its images are not scaled as it wants (scale=...)"
            )
        return scores

    def _scores(self, images: Tensor) -> Tensor:
        prepared = self.preprocessing(images)
        try:
            return self._sign * self._model.scores(prepared)
        except (ScoringError, FloatingPointError):
            raise
        except (Exception, SystemExit) as error:  # a model of another make may raise anything
            raise ScoringError(
                f"the detector failed on images of shape {tuple(prepared.shape[1:])}: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from error

    def differentiable_scores(self, images: Tensor) -> Tensor:
        """Scores (N,) of float images (N, C, H, W) in [0, 1], through which gradients flow.

        Raises
        ------
        TypeError
            The model gives scores only.
        """
        require(self, Access.GRADIENTS, "differentiable_scores")
        return self._scores(images)


BATCH_SIZE = 256
TORCHSCRIPT = (".pt", ".pth", ".ts")
SIGNS = {"higher": 1, "lower": -1}


@checked
def wrap(
    detector: Any,
    *,
    size: int | tuple[int, int] | None = None,
    color: str = "keep",
    scale: str | tuple[Any, Any] = "unit",
    sign: str | None = None,
    center: Tensor | np.ndarray | Sequence[float] | None = None,
    output: str | None = None,
    allow_code: bool = False,
    batch_size: Count = BATCH_SIZE,
    normals: Tensor | np.ndarray | None = None,
    anomalies: Tensor | np.ndarray | None = None,
) -> DeepSAD | TiledDeepSAD | Wrapped:
    """Make a detector of this library of one of another make.

    Parameters
    ----------
    detector
        - An outlier detector of **scikit-learn**, or a density model with ``score_samples``. Low
          is anomalous there, so the sign is turned. Images arrive flattened, (N, C * H * W).
        - A model of **PyOD**: its sign is ours. Flattened, too. Its own ``threshold_`` is not
          used: it rests on the training data, see :meth:`Wrapped.calibrate`.
        - A **torch module** that returns one score an image, or a latent where ``center`` is
          given; the score is the squared distance then. It is copied, in evaluation mode.
        - A path that ends in ``.safetensors`` (a saved DeepSAD, of tiles or not), ``.onnx``,
          ``.pt``, ``.pth`` or ``.ts`` (**TorchScript**, only with ``allow_code``), or
          ``file.py:name``, an object in a Python file of your own (only with ``allow_code``).
          That may be wrapped already, as it has to be for a latent and its center.
        - Any other **callable** of a float32 NumPy array (N, C, H, W) that returns (N,) scores.
    size, color, scale
        What is done to images before, see :class:`Preprocessing`.
    sign
        ``higher`` or ``lower``: which scores are anomalous. By default as the library has it, and
        ``higher`` for modules, files and functions.
    center
        (D,) point that the squared distance of a latent (N, D) is measured to.
    output
        Name of the output of an ONNX file that holds the score or the latent; by default the first
        one of floats, without a ``center`` the first of a single number an image, where there is
        one.
    allow_code
        Open files that run code of their author.
    batch_size
        Images handed over at a time.
    normals, anomalies
        Images to check the wrap on at once, see :func:`self_check`.

    Returns
    -------
    DeepSAD, TiledDeepSAD or Wrapped
        One of this library comes back as it is, unless its images have to be prepared, and so does
        one that is wrapped.

    Raises
    ------
    TypeError
        None of these.
    FileNotFoundError, IsADirectoryError, ValueError
        No such file; a folder; a file that is something else, too large, refers to others, or would
        run code; settings that do not fit; ``normals`` show that the wrap is wrong.
    ImportError
        A package of the extra ``audit`` is missing.
    """
    if sign is not None and sign not in SIGNS:
        raise ValueError(f"sign must be 'higher' or 'lower' (is more anomalous), got {sign!r}")
    sizes = (size, size) if isinstance(size, int) else size
    preprocessing = Preprocessing(color, sizes, scale)
    point = None if center is None else torch.as_tensor(np.asarray(center), dtype=torch.float32)
    if point is not None and (point.ndim != 1 or not torch.isfinite(point).all()):
        raise ValueError(f"center must be (D,) finite numbers, got shape {tuple(point.shape)}")
    kind, digest = "", None
    if isinstance(detector, str | Path):
        path = Path(detector)
        detector, kind = _opened(str(detector), allow_code, output, point)
        if path.suffix.lower() in (".onnx", *TORCHSCRIPT):
            digest = hashlib.sha256(_read(path)).hexdigest()
    if isinstance(detector, Wrapped):
        if not preprocessing.is_nothing or sign or point is not None or batch_size != BATCH_SIZE:
            raise ValueError(
                "this detector is wrapped already: give size, color, scale, sign, center and "
                "batch_size there"
            )
        if normals is not None:
            self_check(detector, normals, anomalies).raise_if_wrong()
        return detector
    if isinstance(detector, DeepSAD | TiledDeepSAD) and not detector.is_fitted:
        name = type(detector).__name__
        raise ValueError(f"this {name} is not fitted: call fit(images, semi_labels) first")
    wrapped: DeepSAD | TiledDeepSAD | Wrapped
    if (
        isinstance(detector, DeepSAD | TiledDeepSAD)
        and preprocessing.is_nothing
        and sign != "lower"
    ):
        wrapped = detector
    else:
        model, found, usual = _adapted(detector, point)
        if isinstance(model, _Onnx) and model.dtype == np.uint8:
            if scale not in ("unit", "255"):
                raise ValueError(f"{model.path} takes whole numbers from 0 to 255: leave out scale")
            preprocessing = Preprocessing(color, sizes, "255")
        wrapped = Wrapped(
            model,
            kind or found,
            sign=SIGNS[sign or usual],
            preprocessing=preprocessing,
            batch_size=batch_size,
        )
        middle = None if point is None else hashlib.sha256(point.numpy().tobytes()).hexdigest()
        wrapped.digest_ = digest and f"{digest} {output} {middle} {wrapped._sign}"
    if normals is not None:
        self_check(wrapped, normals, anomalies).raise_if_wrong()
    return wrapped


def _adapted(detector: Any, center: Tensor | None) -> tuple[_Model, str, str]:
    """Return the model, what it is, and which of its scores are anomalous."""
    if isinstance(detector, _Onnx):
        return detector, "ONNX", "higher"
    if isinstance(detector, DeepSAD | TiledDeepSAD):
        return _Ours(detector), type(detector).__name__, "higher"
    if isinstance(detector, nn.Module):
        scripted = isinstance(detector, torch.jit.ScriptModule)
        return _Module(detector, center), "TorchScript" if scripted else "module", "higher"
    if center is not None:
        raise ValueError(
            f"center goes with modules and ONNX files, not with {type(detector).__name__}"
        )
    family = {base.__module__.partition(".")[0] for base in type(detector).__mro__}
    features = getattr(detector, "n_features_in_", None)
    if "pyod" in family:
        return _Function(detector.decision_function, features, True), "PyOD", "higher"
    if "sklearn" in family:
        return _Function(_sklearn_scores(detector), features, True), "scikit-learn", "lower"
    if callable(detector):
        return _Function(detector, None, False), "function", "higher"
    if hasattr(detector, "decision_function"):
        return _Function(detector.decision_function, None, False), "function", "higher"
    raise TypeError(
        f"{type(detector).__name__} is no detector: expected one of scikit-learn or PyOD, a torch "
        "module, a path, or a callable that returns (N,) scores of images (N, C, H, W)"
    )


def _sklearn_scores(detector: Any) -> Callable[[np.ndarray], Any]:
    from sklearn.base import is_outlier_detector
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(detector)  # its NotFittedError is a ValueError that says so
    if is_outlier_detector(detector):
        if not hasattr(detector, "decision_function"):
            raise TypeError(
                f"{type(detector).__name__} does not score new images; "
                "LocalOutlierFactor does with novelty=True"
            )
        return detector.decision_function
    if hasattr(detector, "score_samples"):
        return detector.score_samples
    raise TypeError(
        f"{type(detector).__name__} is not an outlier detector of scikit-learn: wrap a function "
        "that makes scores of it"
    )


def _opened(name: str, allow_code: bool, output: str | None, center: Tensor | None) -> Any:
    """Open a file as a detector; returns it and what it is, where that does not show."""
    file, colon, attribute = name.rpartition(":")
    if colon and file.endswith(".py"):
        return _from_python(Path(file), attribute, allow_code), ""
    path = Path(name)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name the file of the detector")
    if not path.is_file():
        raise FileNotFoundError(f"no detector at {path}; check the path")
    suffix = path.suffix.lower()
    if suffix == SUFFIX:
        return load_detector(path), ""
    if suffix == ".onnx":
        return _Onnx(path, output, center), ""
    if suffix in TORCHSCRIPT:
        return _from_torchscript(path, allow_code), "TorchScript"
    if suffix in (".pkl", ".pickle", ".joblib"):
        raise ValueError(
            f"{path} is a pickle, which runs any code when it is opened: refused. If you trust it, "
            "open it yourself and wrap the object; on the command line, in a file of your own, "
            "my_detector.py:NAME with --allow-code"
        )
    raise ValueError(
        f"{path} is not known as a detector: expected {SUFFIX}, .onnx, .pt/.pth/.ts (TorchScript), "
        "or file.py:NAME"
    )


def _refuse_code(path: Path, what: str, allow_code: bool) -> None:
    if not allow_code:
        raise ValueError(
            f"{path} is {what}, which runs code that its author wrote: ask for that with "
            "allow_code=True (--allow-code), on a machine that may be lost, or ask for ONNX"
        )


def _from_torchscript(path: Path, allow_code: bool) -> nn.Module:
    _refuse_code(path, "TorchScript", allow_code)
    _read(path)
    try:
        return torch.jit.load(path, map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} is not TorchScript ({_first_line(error)}); a pickle of torch.save is not "
            "opened: export it with torch.jit.script, or to ONNX"
        ) from error


def _from_python(path: Path, name: str, allow_code: bool) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; check the path")
    _refuse_code(path, "a Python file", allow_code)
    module_name = f"_detector_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # a suffix of .py always has one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{path} cannot be run: {type(error).__name__}: {_first_line(error)}"
        ) from error
    if not hasattr(module, name):
        raise ValueError(f"{path} defines no {name!r}: make the detector there under that name")
    return getattr(module, name)


# --- does the wrap fit? ---------------------------------------------------------------------------


@dataclass(frozen=True)
class SelfCheck:
    """What a few images show about a wrap.

    Attributes
    ----------
    problems
        Sentences, each about something that makes every further number worthless; empty if none.
    auroc
        Of the anomalies against the normals, None without anomalies.
    seconds_per_image
        On this machine, while it was busy with whatever else.
    """

    problems: tuple[str, ...]
    auroc: float | None
    seconds_per_image: float

    def raise_if_wrong(self) -> None:
        """Raise a ValueError that lists the problems, if there are any."""
        if self.problems:
            raise ValueError("this detector cannot be used as it is: " + "; ".join(self.problems))


ORDER_TOLERANCE = 1e-3
INVERTED = 0.25
FEW = 10
"""So many scores must be seen before their sign or their values are judged."""


@checked
def self_check(
    detector: Any,
    normals: Tensor | np.ndarray,
    anomalies: Tensor | np.ndarray | None = None,
    *,
    most: Count = 64,
    tolerance: Positive = ORDER_TOLERANCE,
) -> SelfCheck:
    """Look whether a detector answers like one.

    Scores must differ between images, must not depend on the other images of the batch or on their
    order (by more than ``tolerance`` of their range), and anomalies should outscore normals. Scores
    that are no numbers and images that it does not take raise the detector's own error.

    Parameters
    ----------
    detector
        What :func:`wrap` returned.
    normals, anomalies
        (N, C, H, W), two or more; of each the first ``most`` are looked at, of the anomalies all.
    """
    some = check_images(normals, name="normals")[:most]
    if len(some) < 2:
        raise ValueError(f"a check needs at least 2 normals, got {len(some)}")
    start = time.perf_counter()
    scores = detector.decision_function(some)
    seconds = (time.perf_counter() - start) / len(some)
    problems = []
    value = None
    all_scores = scores
    if anomalies is not None:
        suspects = detector.decision_function(anomalies)
        all_scores = np.concatenate([scores, suspects])
        value = auroc(scores, suspects)
    spread = float(np.ptp(all_scores))
    if spread == 0:
        problems.append(f"it gives all {len(all_scores)} images the same score {all_scores[0]:g}")
        return SelfCheck(tuple(problems), value, seconds)
    if len(all_scores) >= FEW and len(two := np.unique(all_scores)) == 2:
        problems.append(
            f"its {len(all_scores)} scores are all {two[0]:g} or {two[1]:g}, as labels are: wrap "
            "what gives scores (decision_function, not predict)"
        )
    again = detector.decision_function(some.flip(0))[::-1]
    alone = np.concatenate([detector.decision_function(one[None]) for one in some[:4]])
    drift = max(float(np.abs(again - scores).max()), float(np.abs(alone - scores[:4]).max()))
    if float(np.abs(detector.decision_function(some) - scores).max()) > tolerance * spread:
        problems.append("the same images get other scores when asked again: it draws at random")
    elif drift > tolerance * spread:
        problems.append(
            "scores depend on the other images of the batch or on their order: a network in "
            "training mode does that, and what ranks a batch, as PyOD's ECOD; batch_size=1 "
            "(--batch-size 1) scores images one by one"
        )
    if value is not None and value < INVERTED and len(all_scores) >= FEW:
        problems.append(
            f"the sign looks inverted: AUROC {value:.2f}; wrap it with the other one of "
            "sign='lower' and 'higher' (--sign)"
        )
    return SelfCheck(tuple(problems), value, seconds)


# --- what defenses share --------------------------------------------------------------------------


def device_of(detector: Any) -> torch.device:
    """Device that a detector computes on; the CPU where it does not say."""
    center = getattr(detector, "center_", None)
    return center.device if isinstance(center, Tensor) else torch.device("cpu")


def comparable(detector: Any, scores: Any) -> Scores:
    """Scores on a scale where differences mean something: (N,).

    The log of ours, which are squared distances. Those of other detectors stay as they
    are: they may be negative, and what they are is not known.
    """
    ours = isinstance(detector, DeepSAD | TiledDeepSAD)
    return np.log(scores + 1e-6) if ours else np.asarray(scores)
