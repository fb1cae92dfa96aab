"""Your own images: photographs in folders become one tensor, and a list of what was left out.

Two layouts are known. That of MVTec AD (Bergmann et al., CVPR 2019): ``train/good``, ``test/good``
and ``test/DEFECT`` for each kind of defect; its ``ground_truth`` is left alone. And plain folders:
one of normal images alone, or one that holds a folder ``good`` (or ``normal``, ``ok``) beside
others, each a kind of anomaly.

Image files are opened as if they were hostile: known formats only, no more pixels than a camera
makes, nothing beyond the folder. A broken file is skipped and named, never a reason to stop.
Pictures are decoded one by one and kept as uint8 at their final size.
"""

from __future__ import annotations

import errno
import math
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from badsad_lib._rules import Flag, OneOf, Whole, checked
from badsad_lib.networks import SIZES

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
NORMAL_NAMES = ("good", "normal", "normals", "ok")
"""What a folder of normal images may be called, in any case."""
MOST_PIXELS = 64_000_000
"""Pictures of more pixels are skipped: they may be a few kilobytes that unpack to gigabytes."""
MOST_FILE_BYTES = 2**28
MOST_BYTES = 2**33
"""All images together, as uint8."""
USUAL_SIZE = 128
COLORS = ("auto", "gray", "rgb")
FITS = ("crop", "resize", "tiles")

_JOINERS = "\u200c\u200d"
_LINK = "a link or a device, not part of this folder: copy here what is to be used"
_FORBIDDEN = "you have no permission; its owner can give it (chmod u+r, of folders u+rx)"
_GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
_ORIENTATION = 0x0112  # EXIF; 5 to 8 swap height and width

Side = Annotated[int, Whole(SIZES[0], SIZES[1])]


@dataclass(frozen=True)
class Skipped:
    """A file that is not among the images, and why."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True, eq=False, repr=False)
class ImageFolder:
    """Images of a folder, all of one size.

    Attributes
    ----------
    path
        Where they came from.
    images
        uint8 (N, C, H, W).
    kind, kinds
        int64 (N,), the kind of each image, and the names of the kinds: 0 is normal, each other
        one a kind of anomaly.
    is_test
        bool (N,): whether the layout puts the image into its test part; all False in a plain one.
    file, files
        int64 (N,), the file that each image is from (of tiles several), and the files' names,
        relative to ``path``.
    skipped
        Files that are not among them, with the reason.
    notes
        Sentences about what was done to the images, and what looks odd about them.
    sizes
        How many pictures had which (height, width), upright.
    """

    path: Path
    images: Tensor
    kind: Tensor
    kinds: tuple[str, ...]
    is_test: Tensor
    file: Tensor
    files: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    sizes: dict[tuple[int, int], int]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.path)!r}, {len(self)} images of {self.shape_text})"

    @property
    def shape_text(self) -> str:
        """Channels, height and width, as in ``1x64x64``."""
        return "x".join(map(str, self.images.shape[1:]))

    @property
    def is_anomaly(self) -> Tensor:
        """Whether each image is of a kind of anomaly: bool (N,)."""
        return self.kind > 0

    @property
    def normals(self) -> Tensor:
        """The normal images, uint8 (N, C, H, W)."""
        return self.images[~self.is_anomaly]

    @property
    def anomalies(self) -> Tensor:
        """All others, uint8 (M, C, H, W); M may be 0."""
        return self.images[self.is_anomaly]

    def counts(self) -> dict[str, int]:
        """How many images there are of each kind; train and test of the MVTec layout apart."""
        found = {}
        for number, name in enumerate(self.kinds):
            here = self.kind == number
            for part, chosen in (("train/", ~self.is_test), ("test/", self.is_test)):
                if count := int((here & chosen).sum()):
                    found[f"{part if self.is_test.any() else ''}{name}"] = count
        return found

    def describe(self, *, most_skipped: int = 10) -> str:
        """Return counts, sizes, notes and what was skipped, as lines of text."""
        lines = [f"{self.path}: {_number(len(self), 'image')} of {self.shape_text}"]
        counts = self.counts()
        width = max(map(len, counts))
        lines += [f"  {name:<{width}}  {count:>7,}" for name, count in counts.items()]
        common = Counter(self.sizes).most_common(4)
        text = ", ".join(f"{count:,} of {h}x{w}" for (h, w), count in common)
        more = len(self.sizes) - len(common)
        lines.append(f"pictures were {text}{f' and {more} other sizes' if more else ''}")
        lines += self.notes
        if self.skipped:
            lines.append(f"skipped {_number(len(self.skipped), 'file')}:")
            lines += [f"  {one}" for one in self.skipped[:most_skipped]]
            if len(self.skipped) > most_skipped:
                lines.append(f"  and {len(self.skipped) - most_skipped:,} more")
        return "\n".join(lines)


# --- which files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    file: Path
    name: str  # relative to the folder
    kind: str  # "" is normal
    is_test: bool


@dataclass(frozen=True)
class _Header:
    size: tuple[int, int]  # (height, width), upright
    gray: bool


def _subfolders(path: Path) -> list[Path]:
    found = (one for one in _inside(path) if one.is_dir() and not one.is_symlink())
    return sorted(one for one in found if not one.name.startswith("."))


def _inside(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except PermissionError as error:
        raise PermissionError(f"{path} cannot be read: {_FORBIDDEN}") from error


def _named(path: Path, name: str) -> Path | None:
    return next((one for one in _subfolders(path) if one.name.lower() == name), None)


def _is_normal(folder: Path) -> bool:
    return folder.name.lower() in NORMAL_NAMES


def _walk(folder: Path, root: Path, kind: str, is_test: bool, skipped: list[Skipped]) -> list:
    """All image files below a folder, in the order of their names; links out of it stay closed."""
    found = []

    def closed(error: OSError) -> None:
        skipped.append(Skipped(_shown(Path(error.filename), root), _reason(error)))

    for place, inner, names in os.walk(folder, onerror=closed):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        _note_links([Path(place) / name for name in inner], root, skipped)
        for name in sorted(names):
            if name.startswith("."):  # what systems leave behind
                continue
            file = Path(place) / name
            shown = _shown(file, root)
            if file.is_symlink() or not file.is_file():
                skipped.append(Skipped(shown, _LINK))
            elif file.suffix.lower() not in SUFFIXES:
                skipped.append(Skipped(shown, _no_suffix(file)))
            else:
                found.append(_Entry(file, shown, kind, is_test))
    return found


def _note_links(files: Sequence[Path], root: Path, skipped: list[Skipped]) -> None:
    links = sorted(one for one in files if one.is_symlink() and not one.name.startswith("."))
    skipped += [Skipped(_shown(one, root), _LINK) for one in links]


def _no_suffix(file: Path) -> str:
    ends = ", ".join(SUFFIXES)
    return f"not one of {ends}" if file.suffix else f"no extension, expected one of {ends}"


def _shown(file: Path, root: Path) -> str:
    """Return a name that can be printed, see :func:`_printable`."""
    try:
        name = file.relative_to(root).as_posix()
    except ValueError:
        name = file.as_posix()
    return _printable(name)


def _printable(name: str) -> str:
    """Escape what is no text or moves a terminal's cursor: names may hold any byte.

    Letters of all scripts stay, and the joiners that some of them and emoji need.
    """
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(
        one.encode("unicode_escape").decode()
        if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp") and one not in _JOINERS
        else one
        for one in text
    )


def _entries(
    path: Path, anomalies: Path | None, skipped: list[Skipped], notes: list[str]
) -> list[_Entry]:
    train, test = _named(path, "train"), _named(path, "test")
    if train is not None and test is not None:
        parts = [(train, False), (test, True)]
        why = "beside train and test, no part of the layout of MVTec AD: left alone"
        known = ("train", "test", "ground_truth")
        beside = [one for one in _subfolders(path) if one.name.lower() not in known]
        skipped += [Skipped(_shown(one, path), why) for one in beside]
        _note_loose(path, path, skipped)
    else:
        parts = [(path, False)]
    entries: list[_Entry] = []
    for folder, is_test in parts:
        inner = _subfolders(folder)
        loose = any(one.suffix.lower() in SUFFIXES for one in _inside(folder) if one.is_file())
        if not inner or (loose and not any(map(_is_normal, inner))):
            if inner and is_test:
                raise ValueError(_which_is_normal(folder, inner))
            entries += _walk(folder, path, "", is_test, skipped)
            if others := [one for one in inner if anomalies is None or one != anomalies]:
                names = ", ".join(_shown(one, folder) for one in others[:5])
                more = f" and {len(others) - 5} more" if len(others) > 5 else ""
                notes.append(f"all of {names}{more} counts as normal, like the images beside it")
            continue
        # Of the training part of MVTec AD all is normal, whatever the folder is called.
        only_one = len(inner) == 1 and not is_test and len(parts) == 2
        if not (only_one or any(map(_is_normal, inner))) and not is_test:
            raise ValueError(_which_is_normal(folder, inner))
        for one in inner:
            normal = only_one or _is_normal(one)
            entries += _walk(one, path, "" if normal else _printable(one.name), is_test, skipped)
        _note_loose(folder, path, skipped)
    if anomalies is not None:
        apart = os.path.realpath(anomalies)
        there = {os.path.realpath(entry.file): entry for entry in entries}
        if apart != os.path.realpath(path):  # a folder in that of the normals is none of them
            there = {n: e for n, e in there.items() if e.kind or not Path(n).is_relative_to(apart)}
            entries = list(there.values())
        inner = _subfolders(anomalies)
        for one in inner or [anomalies]:
            if _is_normal(one):
                raise ValueError(f"{one} is named like a folder of normals, among the anomalies")
            for entry in _walk(one, anomalies, _printable(one.name), False, skipped):
                twice = there.get(os.path.realpath(entry.file))
                if twice is None:
                    entries.append(entry)
                elif twice.kind == "":
                    raise ValueError(
                        f"{_printable(str(entry.file))} is among the normals and among the "
                        "anomalies: name folders that have no file in common"
                    )
                else:
                    skipped.append(Skipped(entry.name, "among the anomalies already"))
        if inner:
            _note_loose(anomalies, anomalies, skipped)
    return entries


def _note_loose(folder: Path, root: Path, skipped: list[Skipped]) -> None:
    """Note images and links that lie beside the folders of kinds, in none of them."""
    files = sorted(_inside(folder))
    _note_links(files, root, skipped)
    why = "beside the folders of kinds, in none of them"
    skipped += [
        Skipped(_shown(one, root), why)
        for one in files
        if one.is_file() and not one.is_symlink() and one.suffix.lower() in SUFFIXES
    ]


def _which_is_normal(folder: Path, inner: Sequence[Path]) -> str:
    names = ", ".join(_shown(one, folder) for one in inner[:5])
    return (
        f"which of the folders in {folder} holds the normal images? Found {names}; call it one of "
        f"{', '.join(NORMAL_NAMES)}, or give the folder of normals and that of the anomalies apart"
    )


# --- one picture ----------------------------------------------------------------------------------


class _UnusableError(ValueError):
    """A picture cannot be used; the message says why."""


def _open(file: Path) -> Image.Image:
    if (size := file.stat().st_size) > MOST_FILE_BYTES:
        raise _UnusableError(f"a file of {size:,} bytes, at most {MOST_FILE_BYTES:,} are read")
    picture = Image.open(file, formats=FORMATS)  # reads the header only
    if picture.width * picture.height > MOST_PIXELS:
        raise _UnusableError(
            f"{picture.width}x{picture.height} pixels are more than {MOST_PIXELS:,}: "
            "make it smaller first"
        )
    return picture


def _reason(error: BaseException) -> str:
    if isinstance(error, _UnusableError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return f"cannot be read: {_FORBIDDEN}"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"broken, or not one of {', '.join(FORMATS)}, whatever its name says"
    text = (str(error) or type(error).__name__).splitlines()[0][:120]
    return f"broken or cut off ({text})"


def _header(file: Path) -> _Header:
    with _open(file) as picture:
        height, width = picture.height, picture.width
        if picture.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
            height, width = width, height
        return _Header((height, width), picture.mode in _GRAY_MODES or picture.mode[:2] == "I;")


def _decoded(file: Path, channels: int) -> tuple[Image.Image, set[str]]:
    """Return a picture, upright, as ``L`` or ``RGB``, and what was done to it."""
    done: set[str] = set()
    with _open(file) as opened:
        if getattr(opened, "n_frames", 1) > 1:
            done.add("several pages or frames, of which the first was taken")
        opened.load()
        picture = ImageOps.exif_transpose(opened)
        if opened.getexif().get(_ORIENTATION, 1) in range(2, 9):
            done.add("turned upright by their EXIF data")
    if picture.mode[0] in "IF":
        picture, what = _eight_bits(picture)
        done.add(what)
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
        done.add("with transparency, laid over white")
    wanted = "L" if channels == 1 else "RGB"
    return (picture if picture.mode == wanted else picture.convert(wanted)), done


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, str]:
    """Bring more than 8 bits, or floats in [0, 1], to 8: by the format's maximum, not their own."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0:
        raise _UnusableError("values that are negative or no numbers")
    if picture.mode == "F":
        most, what = 1.0, "of floats, taken as 0 to 1"
    else:
        most, what = 65535.0, "of 16 bits, taken as 0 to 65535"
    if values.max() > most:
        raise _UnusableError(f"values up to {values.max():g}, expected at most {most:g}")
    if picture.mode != "F" and values.max() < 4096:
        what += " (some use no more than 12 bits of them and come out dark)"
    return Image.fromarray((values * (255 / most)).round().astype(np.uint8)), what


def _tile_corners(size: tuple[int, int], side: tuple[int, int]) -> list[tuple[int, int]]:
    """Top left corners of tiles that cover a picture; the last of a row or column may overlap."""

    def starts(length: int, step: int) -> list[int]:
        return [min(i * step, length - step) for i in range(math.ceil(length / step))]

    return [(top, left) for top in starts(size[0], side[0]) for left in starts(size[1], side[1])]


def _cut(picture: Image.Image, side: tuple[int, int], fit: str) -> list[Image.Image]:
    height, width = side
    if fit == "tiles":
        corners = _tile_corners((picture.height, picture.width), side)
        return [picture.crop((left, top, left + width, top + height)) for top, left in corners]
    if (picture.height, picture.width) == side:
        return [picture]
    if fit == "crop":
        return [ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)]
    return [picture.resize((width, height), Image.Resampling.BILINEAR)]


# --- all of them ----------------------------------------------------------------------------------


@checked
def load(
    path: str | Path,
    *,
    anomalies: str | Path | None = None,
    size: int | tuple[int, int] | None = None,
    color: Annotated[str, OneOf(COLORS)] = "auto",
    fit: Annotated[str, OneOf(FITS)] = "crop",
    progress: Flag = False,
) -> ImageFolder:
    """Read the images of a folder.

    Parameters
    ----------
    path
        Folder in one of the layouts at the top. Hidden files are left alone, links not followed.
    anomalies
        Another folder, of anomalies only; each folder in it is a kind.
    size
        Side of a square, or (height, width), 16 to 256 pixels. By default that of the pictures
        where all have the same; else a square of 128 pixels, or of the shorter side that all but
        a tenth of them have at least: those are enlarged.
    color
        ``gray``, ``rgb``, or ``auto``: gray where all pictures are, else color.
    fit
        ``crop`` resizes each picture until its shorter side fits and takes the center; ``resize``
        changes proportions; ``tiles`` cuts it into tiles of ``size`` without resizing, of which
        each is an image.
    progress
        Show a progress bar.

    Returns
    -------
    ImageFolder
        At least one image. Of 16 bits the upper ones are kept; transparency is laid over white;
        EXIF rotation is carried out. :meth:`ImageFolder.describe` says what was done.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        No such folder.
    ValueError
        No image that can be used, none that is normal, a layout that does not say what is normal,
        or more than fits (``MOST_BYTES``).
    """
    root, others = _folder(path), None if anomalies is None else _folder(anomalies)
    skipped: list[Skipped] = []
    read: list[str] = []
    entries = _entries(root, others, skipped, read)
    usable: list[tuple[_Entry, _Header]] = []
    for entry in tqdm(entries, "looking", disable=not progress, unit="file"):
        with _quietly():
            try:
                usable.append((entry, _header(entry.file)))
            except Exception as error:  # broken files make decoders raise anything
                skipped.append(Skipped(entry.name, _reason(error)))
    _require(root, usable, skipped)
    sizes = Counter(header.size for _, header in usable)
    side = _side(size, sizes)
    if fit == "tiles":
        found, usable = usable, []
        for entry, header in found:
            if header.size[0] < side[0] or header.size[1] < side[1]:
                reason = f"smaller than a tile of {side[0]}x{side[1]}"
                skipped.append(Skipped(entry.name, reason))
            else:
                usable.append((entry, header))
        _require(root, usable, skipped)
    if color == "auto":
        color = "gray" if all(header.gray for _, header in usable) else "rgb"
    channels = 1 if color == "gray" else 3
    counts = [len(_tile_corners(h.size, side)) if fit == "tiles" else 1 for _, h in usable]
    if (needed := sum(counts) * channels * side[0] * side[1]) > MOST_BYTES:
        raise ValueError(
            f"{sum(counts):,} images of {channels}x{side[0]}x{side[1]} need {needed / 2**30:.1f} "
            f"GB, at most {MOST_BYTES / 2**30:.0f} are held; choose a smaller size"
        )

    pixels = np.empty((sum(counts), *side, channels), np.uint8)
    of_file: list[int] = []
    kept: list[_Entry] = []
    done: Counter[str] = Counter()
    for entry, _ in tqdm(usable, "reading", disable=not progress, unit="file"):
        with _quietly():
            try:
                picture, what = _decoded(entry.file, channels)
                parts = _cut(picture, side, fit)
            except Exception as error:  # as above
                skipped.append(Skipped(entry.name, _reason(error)))
                continue
        done.update(what)
        for part in parts:
            pixels[len(of_file)] = np.asarray(part).reshape(*side, channels)
            of_file.append(len(kept))
        kept.append(entry)
    _require(root, kept, skipped)
    names = ("good", *sorted({entry.kind for entry in kept} - {""}))
    number = {"": 0} | {name: i for i, name in enumerate(names) if i}
    file = torch.tensor(of_file)
    images = torch.from_numpy(pixels[: len(of_file)]).permute(0, 3, 1, 2).contiguous()
    notes = [
        *read,
        _fitted(sizes, side, fit),
        _enlarged(sizes, side, fit),
        *(f"{_number(n, 'picture')} {what}" for what, n in done.items()),
    ]
    kind = torch.tensor([number[entry.kind] for entry in kept])[file]
    notes += _repeated(images, kind > 0)
    return ImageFolder(
        path=root,
        images=images,
        kind=kind,
        kinds=names,
        is_test=torch.tensor([entry.is_test for entry in kept])[file],
        file=file,
        files=tuple(entry.name for entry in kept),
        skipped=tuple(skipped),
        notes=tuple(note for note in notes if note),
        sizes=dict(sizes),
    )


def _quietly() -> warnings.catch_warnings:
    # What a decoder has to say about a file is not for the reader: it is decoded or skipped.
    return warnings.catch_warnings(action="ignore")


def _folder(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no folder {path}; check the path")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; name the folder that holds the images")
    return path


def _require(
    root: Path, usable: Sequence[_Entry | tuple[_Entry, _Header]], skipped: Sequence[Skipped]
) -> None:
    entries = [one[0] if isinstance(one, tuple) else one for one in usable]
    why = f"{_number(len(skipped), 'file')} skipped, for example {skipped[0]}. " if skipped else ""
    if not entries:
        raise ValueError(
            f"{root} holds no images that can be used: {why or 'it is empty. '}Put some of "
            f"{', '.join(SUFFIXES)} there, or into a folder good beside one for each kind of "
            "anomaly"
        )
    if not any(entry.kind == "" for entry in entries):
        raise ValueError(
            f"{root} holds no normal images that can be used, anomalies only: {why}Put normal ones "
            "into its folder good, or name the folder that holds them"
        )


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _side(size: int | tuple[int, int] | None, sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    rule = Whole(*SIZES)
    if size is not None:
        height, width = (size, size) if not isinstance(size, tuple | list) else size
        return rule("size", height), rule("size", width)
    if len(sizes) == 1:
        [(height, width)] = sizes
        if SIZES[0] <= min(height, width) and max(height, width) <= SIZES[1]:
            return height, width
    shorter = sorted(min(one) for one in sizes.elements())
    # A few thumbnails among photographs must not make thumbnails of all of them.
    spared = min(len(shorter) // 3, max(1, len(shorter) // 10))
    side = min(USUAL_SIZE, max(SIZES[0], shorter[spared]))
    return side, side


def _enlarged(sizes: Counter[tuple[int, int]], side: tuple[int, int], fit: str) -> str:
    """Say how many pictures were smaller than asked for, and how much the smallest."""
    join = max if fit == "crop" else min  # whether both sides keep their proportions
    factors = Counter[float]()
    for (height, width), count in sizes.items():
        factors[join(side[0] / height, side[1] / width)] += count
    larger = sum(count for factor, count in factors.items() if factor > 1)
    if not larger or fit == "tiles":
        return ""
    return (
        f"{_number(larger, 'picture')} enlarged for that, up to {max(factors):.2g} times: they "
        "have less detail than others of that size"
    )


def _fitted(sizes: Counter[tuple[int, int]], side: tuple[int, int], fit: str) -> str:
    changed = sum(count for size, count in sizes.items() if size != side)
    if not changed:
        return ""
    verb = {
        "crop": "resized to fit and cropped to the center",
        "resize": "resized, whatever their proportions",
        "tiles": "cut into tiles, with overlap where they do not divide evenly",
    }
    return f"{_number(changed, 'picture')} {verb[fit]}: {side[0]}x{side[1]}"


def _repeated(images: Tensor, is_anomaly: Tensor) -> list[str]:
    """Say how many images are the same as another one, and how many stand on both sides."""
    sides: dict[int, set[bool]] = {}
    for image, anomaly in zip(images, is_anomaly.tolist()):
        sides.setdefault(hash(image.numpy().tobytes()), set()).add(anomaly)
    notes = []
    if count := len(images) - len(sides):
        same = "image is" if count == 1 else "images are"
        notes.append(f"{count:,} {same} the same as another one: keep one of each")
    if both := sum(len(found) == 2 for found in sides.values()):
        notes.append(f"{_number(both, 'image')} both normal and anomalous: one of the two is wrong")
    return notes


# --- a look ---------------------------------------------------------------------------------------


@checked
def contact_sheet(folder: ImageFolder, *, columns: int = 12, side: int = 64) -> Image.Image:
    """Return one picture with some images of each kind: a row a kind, in the order of ``kinds``.

    There is no text in it, since no font has the letters of every name.
    """
    rows = [number for number in range(len(folder.kinds)) if (folder.kind == number).any()]
    sheet = Image.new("RGB", (columns * (side + 2), len(rows) * (side + 2)), "white")
    for row, number in enumerate(rows):
        places = torch.nonzero(folder.kind == number).flatten()
        # Evenly over the whole, so that what changes with time shows.
        picks = places[torch.linspace(0, len(places) - 1, min(columns, len(places))).long()]
        for column, pick in enumerate(picks.tolist()):
            pixels = folder.images[pick].permute(1, 2, 0).squeeze(2).numpy()
            tile = ImageOps.pad(Image.fromarray(pixels).convert("RGB"), (side, side), color="white")
            sheet.paste(tile, (column * (side + 2), row * (side + 2)))
    return sheet
