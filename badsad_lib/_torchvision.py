"""Import torchvision, even where its compiled operators do not match the torch build.

A CPU build of torch beside another build of torchvision (or the other way round) makes a
plain ``import torchvision`` die with "operator torchvision::nms does not exist": while it is
imported, torchvision describes operators that its compiled library failed to bring along.
This project needs only its Python parts, so the missing operators are declared, without an
implementation, before the import. Where the builds match, nothing is declared.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# torch forgets a declaration as soon as the library object that made it is collected.
_libraries: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Return the module ``torchvision``.

    Raises
    ------
    ImportError
        torchvision is not installed.
    """
    if "torchvision" not in sys.modules:
        spec = find_spec("torchvision")
        if spec is None or spec.origin is None:
            raise ImportError(
                "torchvision is not installed; install the release that belongs to torch "
                f"{torch.__version__} (requirements.txt names both)"
            )
        _load_compiled_operators(Path(spec.origin).parent)
        declare_missing_operators()
    return importlib.import_module("torchvision")


def declare_missing_operators() -> list[str]:
    """Declare those operators that torchvision describes on import and that nobody defined.

    Returns
    -------
    list of str
        The names declared; empty where torchvision's own operators are loaded.
    """
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(_SCHEMAS[name])
        _libraries.append(library)
    return missing


def _load_compiled_operators(package: Path) -> None:
    """Load torchvision's own operators first, as its import would, so that they win."""
    spec = PathFinder.find_spec("_C", [str(package)])
    if spec is None or spec.origin is None:
        return
    # An OSError means that the builds do not match; torchvision itself ignores it, too.
    with suppress(OSError):
        torch.ops.load_library(spec.origin)
