"""badsad_lib: deep semi-supervised anomaly detection, its backdoor, and its defense."""

from badsad_lib.deepsad import DeepSAD

__version__ = "0.1.0"
__all__ = ["DeepSAD", "__version__"]
