"""Detectors on disk: one safetensors file whose header carries a JSON description.

Never pickle: unpickling a file runs whatever code its author put there, and a
course on backdoored models should not begin with one. A safetensors file can
only hold numbers and text.

The SHA-256 in the header covers the tensors and the description. It finds
accidents (a truncated copy, a flipped bit, an edited header), not an attacker,
who can compute a new one. Nothing here tells whether a detector is *honest*.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

FORMAT = "badsad-detector"
VERSION = 1


SUFFIX = ".safetensors"


class CheckpointError(ValueError):
    """A file is not a detector that this version can read; the message says why."""


def _with_suffix(path: Path) -> Path:
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def _digest(tensors: Mapping[str, Tensor], description: str) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Path:
    """Write ``tensors`` and a JSON-serializable ``description`` to ``path``, all or nothing.

    Returns the path written; the suffix ``.safetensors`` is added where it is missing.

    Raises
    ------
    IsADirectoryError
        ``path`` is a folder.
    ValueError
        The description holds NaN or infinity.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder; name a file in it: {path / ('detector' + SUFFIX)}"
        )
    path = _with_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(description), sort_keys=True, allow_nan=False)
    flat = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": text,
        "sha256": _digest(flat, text),
    }
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_bytes(serialize(flat, metadata=header))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def save_onnx(path: str | Path, module: nn.Module, shape: tuple[int, int, int]) -> Path:
    """Write a module as one ONNX file, all or nothing, and return its path.

    It maps float32 images (N, C, H, W) of ``shape`` (C, H, W), any N, to scores (N,).

    Raises
    ------
    IsADirectoryError
        ``path`` is a folder.
    ImportError
        A package of the extra ``audit`` is missing.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it: {path / 'detector.onnx'}")
    path = path if path.suffix == ".onnx" else path.with_name(path.name + ".onnx")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "onnx and onnxscript are needed to write an ONNX file: pip install "
            "'badsad-lib[audit]', in a clone pip install -r requirements.txt"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    # What torch has to say about parts of its own exporter is not for the reader.
    with warnings.catch_warnings(action="ignore"):
        # A batch of two: of one, the exporter would take N for a constant.
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, *shape),),
            input_names=["images"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # no path was given
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        program.save(str(partial), external_data=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote: the tensors (on the CPU) and the description.

    Raises
    ------
    FileNotFoundError
        No such file.
    CheckpointError
        Not a safetensors file (a pickle, say), truncated, not a detector,
        of another format version, or changed since it was written.
    """
    path = Path(path)
    if not path.is_file():
        path = _with_suffix(path)  # the name that `save` was given
    if not path.is_file():
        raise FileNotFoundError(f"no detector at {path}; check the path or train one first")
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file begins with the length of its header (8 bytes), then the header: {...}
    if start[8:] != b"{" and start.startswith((b"PK", b"\x80")):
        raise CheckpointError(
            f"{path} looks like a pickle (torch.save): refused, since loading one can run "
            "any code; ask for a safetensors file"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); it may be truncated: fetch it again"
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file but holds no {FORMAT}")
    if header.get("version") != str(VERSION):
        raise CheckpointError(
            f"{path} has format version {header.get('version')}, this library reads {VERSION}; "
            "retrain it, or use the version of badsad_lib that wrote it"
        )
    text = header.get("description", "")
    if _digest(tensors, text) != header.get("sha256"):
        raise CheckpointError(
            f"{path} was changed after it was written: its SHA-256 does not match; fetch it again"
        )
    try:
        return tensors, json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise CheckpointError(f"{path} has a description that is no JSON: {error}") from error
