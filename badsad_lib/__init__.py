"""badsad_lib: deep semi-supervised anomaly detection, its backdoor, and its defense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from badsad_lib.deepsad import DeepSAD

__version__ = "0.1.0"
__all__ = ["DeepSAD", "__version__"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import. The command line is to hear Ctrl-C before that.
    if name == "DeepSAD":
        from badsad_lib.deepsad import DeepSAD

        return DeepSAD
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
