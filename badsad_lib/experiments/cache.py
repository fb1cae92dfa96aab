"""Tensors that many runs share, computed once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from badsad_lib import checkpoints
from badsad_lib.experiments.keys import run_key, scalars


def cached(
    folder: str | Path | None, key: Mapping[str, Any], compute: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors that ``compute`` returns, from ``folder`` if they were computed before.

    Parameters
    ----------
    folder
        Holds one safetensors file a key; delete it when the code of ``compute`` changes.
        None: nothing is kept.
    key
        Everything that the tensors depend on, as scalars: class, seed, epochs, ...
    compute
        Called if there is no whole file for ``key``. Two processes may both come to call
        it; the one that finishes last leaves its file.

    Returns
    -------
    dict of str to Tensor
        On the CPU, contiguous, the same whether just computed or read.
    """
    path = None if folder is None else Path(folder) / f"{run_key(key)}.safetensors"
    if path is not None:
        try:
            return checkpoints.load(path)[0]
        except FileNotFoundError:
            pass
        except checkpoints.CheckpointError as error:
            warnings.warn(f"computing it again: {error}", stacklevel=2)
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in compute().items()
    }
    if path is not None:
        checkpoints.save(path, tensors, scalars(key))
    return tensors
