"""Writers of the formats that the published data sets have, for small sets like them."""

import gzip
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR_BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def random_images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (n, *shape), dtype=np.uint8)


def write_idx(folder: Path, n_train=20, n_test=10, packed=True) -> dict[str, np.ndarray]:
    arrays = {
        "train-images-idx3-ubyte": random_images(n_train, 28, 28),
        "train-labels-idx1-ubyte": np.arange(n_train) % 10,
        "t10k-images-idx3-ubyte": random_images(n_test, 28, 28, seed=1),
        "t10k-labels-idx1-ubyte": np.arange(n_test) % 10,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return arrays


class Python2Pickler(pickle._Pickler):
    """Writes strings as Python 2 did, which is how the published batches were made."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_python2_str(self, text):
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_python2_str


def cifar_batch(images: np.ndarray, targets: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(
        {
            "batch_label": "training batch 1 of 5",
            "labels": targets.tolist(),
            "data": images.reshape(len(images), -1),
            "filenames": [f"image_{i}.png" for i in range(len(images))],
        }
    )
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_cifar10(root: Path, n=10, archive=False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Six small batches under ``root``, as the published folder or as the published archive."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    batches = {}
    for seed, name in enumerate(CIFAR_BATCHES):
        batches[name] = random_images(n, 3, 32, 32, seed=seed), np.arange(n) % 10
        (folder / name).write_bytes(cifar_batch(*batches[name]))
    (folder / "readme.html").write_text("not a batch")
    if archive:
        with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as tar:
            tar.add(folder, arcname=folder.name)
        shutil.rmtree(folder)
    return batches
