"""Photographs in folders, good and bad, become one tensor and a list of what was left out."""

import errno
import os
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

from badsad_lib import folders, splits
from badsad_lib.folders import contact_sheet, load


def picture(path, size=(20, 24), mode="L", seed=0, **options):
    """Write a picture of (height, width); returns its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode in ("L", "I;16") else (*size, len(mode))
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        pixels = rng.integers(0, 65536, shape, dtype=np.uint16)
        Image.fromarray(pixels).save(path, **options)
    else:
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels, mode).save(path, **options)
    return pixels


def plain(root, normals=12, kinds=("scratch",), each=4, **options):
    for i in range(normals):
        picture(root / "good" / f"{i}.png", seed=i, **options)
    for k, kind in enumerate(kinds):
        for i in range(each):
            picture(root / kind / f"{i}.png", seed=1000 * (k + 1) + i, **options)
    return root


def reasons(folder):
    return {one.file: one.reason for one in folder.skipped}


# --- layouts -------------------------------------------------------------------------------------


def test_the_layout_of_mvtec(tmp_path):
    for i in range(5):
        picture(tmp_path / "train" / "good" / f"{i}.png", seed=i)
    for i in range(2):
        picture(tmp_path / "test" / "good" / f"{i}.png", seed=10 + i)
        picture(tmp_path / "test" / "crack" / f"{i}.png", seed=20 + i)
        picture(tmp_path / "test" / "hole" / f"{i}.png", seed=30 + i)
        picture(tmp_path / "ground_truth" / "crack" / f"{i}_mask.png", seed=40 + i)
    folder = load(tmp_path)
    expected = {"train/good": 5, "test/good": 2, "test/crack": 2, "test/hole": 2}
    assert folder.counts() == expected
    assert folder.kinds == ("good", "crack", "hole")
    assert folder.images.shape == (11, 1, 20, 24)
    assert folder.images.dtype == torch.uint8
    assert not [name for name in folder.files if "ground_truth" in name]
    assert folder.skipped == ()


def test_plain_folders_and_a_folder_of_normals_alone(tmp_path):
    plain(tmp_path / "both", kinds=("Kratzer", "裂缝"))
    folder = load(tmp_path / "both")
    assert folder.counts() == {"good": 12, "Kratzer": 4, "裂缝": 4}
    assert "裂缝/0.png" in folder.files

    alone = load(tmp_path / "both" / "good")
    assert alone.counts() == {"good": 12}
    assert len(alone.anomalies) == 0
    apart = load(tmp_path / "both" / "good", anomalies=tmp_path / "both" / "裂缝")
    assert apart.counts() == {"good": 12, "裂缝": 4}


def test_a_layout_that_does_not_say_what_is_normal_is_refused(tmp_path):
    picture(tmp_path / "a" / "0.png")
    picture(tmp_path / "b" / "0.png")
    with pytest.raises(
        ValueError, match=r"which of the folders .* Found a, b; call it one of good"
    ):
        load(tmp_path)


# --- kinds of pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp", "jpg", "JPEG"])
def test_every_format_is_read(suffix, tmp_path):
    options = {"lossless": True} if suffix == "webp" else {}
    pixels = picture(tmp_path / f"x.{suffix}", mode="RGB", **options)
    images = load(tmp_path).images
    assert images.shape == (1, 3, 20, 24)
    if suffix.lower() not in ("jpg", "jpeg"):
        np.testing.assert_array_equal(images[0].permute(1, 2, 0), pixels)


def test_sixteen_bits_are_scaled_by_the_formats_maximum(tmp_path):
    pixels = picture(tmp_path / "x.png", mode="I;16")
    folder = load(tmp_path)
    np.testing.assert_array_equal(folder.images[0, 0], (pixels / 257).round())
    assert any("of 16 bits" in note for note in folder.notes)

    twelve = np.linspace(0, 4095, 480, dtype=np.uint16).reshape(20, 24)
    Image.fromarray(twelve).save(tmp_path / "x.png")
    folder = load(tmp_path)
    assert folder.images.max() == 16
    assert any("12 bits" in note for note in folder.notes)


def test_floats_are_taken_as_zero_to_one_or_skipped(tmp_path):
    values = np.linspace(0, 1, 480, dtype=np.float32).reshape(20, 24)
    Image.fromarray(values).save(tmp_path / "a.tif")
    Image.fromarray(values * 300).save(tmp_path / "b.tif")
    folder = load(tmp_path)
    assert folder.files == ("a.tif",)
    assert folder.images.max() == 255
    assert "expected at most 1" in reasons(folder)["b.tif"]


def test_palettes_and_transparency(tmp_path):
    red = Image.new("RGBA", (24, 20), (255, 0, 0, 255))
    red.putpixel((0, 0), (0, 0, 0, 0))
    red.save(tmp_path / "a.png")
    red.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "b.png")
    folder = load(tmp_path)
    assert folder.images[0, :, 0, 0].tolist() == [255, 255, 255]
    assert folder.images[0, :, 5, 5].tolist() == [255, 0, 0]
    assert folder.images[1, :, 5, 5].tolist() == [255, 0, 0]
    assert any("laid over white" in note for note in folder.notes)


def test_exif_rotation_is_carried_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    pixels = picture(tmp_path / "x.png", size=(20, 24), exif=exif)
    folder = load(tmp_path)
    assert folder.sizes == {(24, 20): 1}
    np.testing.assert_array_equal(folder.images[0, 0], np.rot90(pixels, -1))
    assert any("EXIF" in note for note in folder.notes)


def test_color_is_chosen_by_what_is_there(tmp_path):
    picture(tmp_path / "a.png")
    assert load(tmp_path).images.shape[1] == 1
    picture(tmp_path / "b.png", mode="RGB")
    assert load(tmp_path).images.shape[1] == 3
    assert load(tmp_path, color="gray").images.shape[1] == 1


# --- sizes ---------------------------------------------------------------------------------------


def test_one_picture_of_another_size_is_fitted_and_said(tmp_path):
    plain(tmp_path)
    picture(tmp_path / "good" / "wide.png", size=(20, 48))
    folder = load(tmp_path, size=20)
    assert folder.images.shape == (17, 1, 20, 20)
    text = folder.describe()
    assert "16 of 20x24, 1 of 20x48" in text
    assert "17 pictures resized to fit and cropped to the center: 20x20" in text


def test_crop_takes_the_center_and_resize_changes_proportions(tmp_path):
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "x.png")
    assert load(tmp_path, size=20, fit="crop").images.float().mean() == 255
    assert 60 < load(tmp_path, size=20, fit="resize").images.float().mean() < 110


def test_tiles_cover_the_picture_and_remember_it(tmp_path):
    pixels = picture(tmp_path / "a.png", size=(40, 50))
    picture(tmp_path / "b.png", size=(10, 50))
    folder = load(tmp_path, size=20, fit="tiles")
    assert folder.images.shape == (6, 1, 20, 20)
    assert folder.file.tolist() == [0] * 6
    np.testing.assert_array_equal(folder.images[0, 0], pixels[:20, :20])
    np.testing.assert_array_equal(folder.images[5, 0], pixels[20:, 30:])
    assert "smaller than a tile" in reasons(folder)["b.png"]


def test_a_size_that_networks_do_not_take_is_refused(tmp_path):
    picture(tmp_path / "x.png")
    for size in (8, 512, (20, 8)):
        with pytest.raises(ValueError, match="size must be an integer of at least 16 and at most"):
            load(tmp_path, size=size)


def test_large_pictures_become_128_pixels_unless_told_otherwise(tmp_path):
    picture(tmp_path / "a.png", size=(300, 400))
    assert load(tmp_path).images.shape == (1, 1, 128, 128)
    picture(tmp_path / "b.png", size=(50, 400))
    assert load(tmp_path).images.shape == (2, 1, 50, 50)


def test_a_thumbnail_does_not_make_thumbnails_of_all(tmp_path):
    for i in range(12):
        picture(tmp_path / f"{i}.png", size=(40 + i, 50), seed=i)
    picture(tmp_path / "thumbnail.png", size=(1, 4))
    folder = load(tmp_path)
    assert folder.images.shape == (13, 1, 40, 40)
    assert "1 picture enlarged for that, up to 40 times" in folder.describe()
    assert "enlarged" not in load(tmp_path, size=16, fit="tiles").describe()


# --- bad folders ---------------------------------------------------------------------------------


def bomb(path, side=10_000):
    """A PNG of 100 million pixels in 100 kilobytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(side * (side + 1)), 9)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_bad_files_are_skipped_and_named(tmp_path):
    root = plain(tmp_path / "in")
    good = root / "good"
    whole = (good / "0.png").read_bytes()
    (good / "cut.png").write_bytes(whole[: len(whole) // 2])
    (good / "empty.png").write_bytes(b"")
    (good / "text.jpg").write_text("this is no picture")
    (good / "notes.txt").write_text("bought in May")
    (good / ".hidden").write_text("")
    (good / "gif.png").write_bytes(b"GIF89a" + bytes(100))
    bomb(good / "bomb.png")
    secret = tmp_path / "secret.png"
    picture(secret)
    (good / "link.png").symlink_to(secret)
    folder = load(root)
    assert len(folder) == 16
    found = reasons(folder)
    assert set(found) == {
        f"good/{name}"
        for name in (
            "cut.png",
            "empty.png",
            "text.jpg",
            "notes.txt",
            "gif.png",
            "bomb.png",
            "link.png",
        )
    }
    assert "10000x10000 pixels" in found["good/bomb.png"]
    assert "broken" in found["good/cut.png"]
    assert "link" in found["good/link.png"]
    assert "not one of" in found["good/notes.txt"]
    assert "skipped 7 files" in folder.describe()
    assert folder.describe(most_skipped=2).endswith("and 5 more")


def test_folders_without_usable_images_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the path"):
        load(tmp_path / "none")
    with pytest.raises(ValueError, match=r"that can be used: it is empty\. Put some of \.png"):
        load(tmp_path)
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 file skipped, for example x\.png: broken"):
        load(tmp_path)
    with pytest.raises(NotADirectoryError, match="is a file"):
        load(tmp_path / "x.png")
    (tmp_path / "good").mkdir()
    picture(tmp_path / "bad" / "0.png")
    with pytest.raises(
        ValueError, match=r"anomalies only: .* Put normal ones into its folder good"
    ):
        load(tmp_path)
    assert load(tmp_path / "bad").counts() == {"good": 1}


def test_what_lies_beside_the_folders_of_kinds_is_named(tmp_path):
    plain(tmp_path)
    picture(tmp_path / "loose.png")
    (tmp_path / "README.txt").write_text("of May")
    found = reasons(load(tmp_path))
    assert found == {"loose.png": "beside the folders of kinds, in none of them"}


def test_links_lead_nowhere_and_are_named(tmp_path):
    plain(tmp_path / "in")
    good = tmp_path / "in" / "good"
    (good / "loop").symlink_to(good)
    (good / "itself.png").symlink_to("itself.png")
    (tmp_path / "in" / "dent").symlink_to(good)
    folder = load(tmp_path / "in")
    assert folder.counts() == {"good": 12, "scratch": 4}
    found = reasons(folder)
    assert set(found) == {"good/loop", "good/itself.png", "dent"}
    assert all("copy here what is to be used" in reason for reason in found.values())
    # A folder of normals that is nothing but a link: the message says so.
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "good").symlink_to(good)
    with pytest.raises(ValueError, match="1 file skipped, for example good: a link"):
        load(tmp_path / "linked")
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(FileNotFoundError, match="check the path"):
        load(tmp_path / "round")


def test_files_without_extension_are_named(tmp_path):
    plain(tmp_path)
    (tmp_path / "good" / "0.png").rename(tmp_path / "good" / "0")
    assert reasons(load(tmp_path))["good/0"].startswith("no extension, expected one of .png")


def test_what_may_not_be_read_is_named_as_that(tmp_path, monkeypatch):
    plain(tmp_path)
    original = folders._open

    def forbidden(file):
        if file.name == "0.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return original(file)

    monkeypatch.setattr(folders, "_open", forbidden)
    found = reasons(load(tmp_path))
    assert set(found) == {"good/0.png", "scratch/0.png"}
    assert all("no permission" in reason for reason in found.values())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read anything")
def test_closed_files_and_folders_are_named(tmp_path):
    plain(tmp_path, kinds=("scratch", "dent"))
    closed = (tmp_path / "good" / "0.png", tmp_path / "dent")
    for path in closed:
        path.chmod(0)
    try:
        found = reasons(load(tmp_path))
        assert set(found) == {"good/0.png", "dent"}
        assert all("no permission" in reason for reason in found.values())
        with pytest.raises(PermissionError, match="cannot be read: you have no permission"):
            load(tmp_path / "dent")
    finally:
        for path in closed:
            path.chmod(0o755)


def test_folders_in_folders_are_read_but_not_guessed(tmp_path):
    plain(tmp_path / "in" / "bottles")
    with pytest.raises(ValueError, match=r"Found bottles; call it one of good"):
        load(tmp_path / "in")
    deep = tmp_path / "deep"
    for i in range(3):
        picture(deep / "good" / "2026" / "may" / f"{i}.png", seed=i)
        picture(deep / "crack" / "left" / f"{i}.png", seed=10 + i)
    assert load(deep).counts() == {"good": 3, "crack": 3}


def test_more_than_memory_holds_is_refused_before_it_is_read(tmp_path, monkeypatch):
    plain(tmp_path)
    monkeypatch.setattr(folders, "MOST_BYTES", 5000)
    with pytest.raises(ValueError, match="16 images of 1x20x24 need"):
        load(tmp_path)


def test_names_in_any_script_and_names_that_are_no_text(tmp_path):
    names = ["ä ö.png", "картинка.png", "画像.png", "صورة.png"]
    for i, name in enumerate(names):
        picture(tmp_path / name, seed=i)
    odd = tmp_path / "x.png"
    picture(odd, seed=9)
    with suppress(OSError, UnicodeEncodeError):  # some file systems have text only
        odd.rename(odd.with_name("x\udcff.png"))
    folder = load(tmp_path)
    assert len(folder) == 5
    assert set(names) < set(folder.files)
    folder.describe().encode()


def test_names_cannot_move_the_cursor_or_break_a_line(tmp_path):
    kinds = ("🔥👩\u200d🔧", "خدش", "a\nb")
    plain(tmp_path, kinds=kinds)
    picture(tmp_path / "good" / "\x1b[31mred\u202e.png", seed=99)
    (tmp_path / "good" / "a\tb.png").write_bytes(b"")
    folder = load(tmp_path)
    assert set(folder.kinds) == {"good", "🔥👩\u200d🔧", "خدش", "a\\nb"}
    assert "good/\\x1b[31mred\\u202e.png" in folder.files
    assert "good/a\\tb.png" in reasons(folder)
    lines = folder.describe().splitlines()
    assert all(line.replace("\u200d", "").isprintable() for line in lines)


def test_repeated_images_are_said(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    assert any("1 image is the same as another" in note for note in load(tmp_path).notes)
    picture(tmp_path / "apart" / "c.png")
    assert any("all of apart counts as normal" in note for note in load(tmp_path).notes)
    folder = load(tmp_path, anomalies=tmp_path / "apart")
    assert folder.counts() == {"good": 2, "apart": 1}
    assert not any("counts as normal" in note for note in folder.notes)
    assert any("1 image both normal and anomalous" in note for note in folder.notes)


def test_a_file_is_normal_or_anomalous_and_counts_once(tmp_path):
    plain(tmp_path, kinds=("a", "b"))
    folder = load(tmp_path, anomalies=tmp_path / "a")
    assert folder.counts() == {"good": 12, "a": 4, "b": 4}
    assert reasons(folder)["0.png"] == "among the anomalies already"
    (tmp_path / "good").rename(tmp_path / "photographs")
    with pytest.raises(ValueError, match="among the normals and among the anomalies"):
        load(tmp_path / "photographs", anomalies=tmp_path / "photographs")


def test_what_lies_beside_train_and_test_is_named(tmp_path):
    for name in ("train/good/0", "test/crack/0", "validation/good/0", "ground_truth/crack/0", "x"):
        picture(tmp_path / f"{name}.png")
    folder = load(tmp_path)
    assert folder.counts() == {"train/good": 1, "test/crack": 1}
    assert set(reasons(folder)) == {"validation", "x.png"}


# --- the sheet -----------------------------------------------------------------------------------


def test_a_contact_sheet_shows_a_row_of_each_kind(tmp_path):
    plain(tmp_path, kinds=("a", "b"))
    sheet = np.asarray(contact_sheet(load(tmp_path), columns=5, side=30))
    assert sheet.shape == (3 * 32, 5 * 32, 3)
    assert (sheet[:, 4 * 32 + 5 : 5 * 32] == 255).all(axis=(1, 2)).sum() > 32  # 4 of 5 places
    assert (sheet[5:25, 5:25] < 255).any()


# --- splits --------------------------------------------------------------------------------------


def all_parts(split):
    return (
        split.train_index,
        split.val_index,
        split.val_anomaly_index,
        split.trusted_index,
        split.trusted_anomaly_index,
        split.test_index,
    )


@pytest.mark.parametrize("fit", ["crop", "tiles"])
def test_a_split_of_a_folder_is_disjoint_complete_and_by_picture(fit, tmp_path):
    plain(tmp_path, normals=20, kinds=("a", "b"), each=10, size=(40, 40))
    folder = load(tmp_path, size=20, fit=fit)
    split = splits.from_folder(folder, labeled_share=0.2, seed=1)
    index = torch.cat(all_parts(split))
    assert sorted(index.tolist()) == list(range(len(folder)))
    pictures = [set(folder.file[part].tolist()) for part in all_parts(split)]
    assert sum(map(len, pictures)) == len(folder.files)
    assert torch.equal(split.train_images, folder.images[split.train_index])
    assert torch.equal(split.train_labels == -1, folder.is_anomaly[split.train_index])
    assert torch.equal(split.test_is_anomaly, folder.is_anomaly[split.test_index])
    per = 1 if fit == "crop" else 4
    assert split.counts() == {
        "training normals": 9 * per,
        "labeled anomalies": 4 * per,
        "pollution (unlabeled anomalies)": 0,
        "validation normals": 3 * per,
        "validation anomalies": 2 * per,
        "trusted normals": 4 * per,
        "trusted anomalies": 4 * per,
        "test normals": 4 * per,
        "test anomalies": 10 * per,
    }
    again = splits.from_folder(folder, labeled_share=0.2, seed=1)
    assert torch.equal(torch.cat(all_parts(again)), index)
    other = splits.from_folder(folder, labeled_share=0.2, seed=2)
    assert not torch.equal(torch.cat(all_parts(other)), index)


def test_the_test_part_of_mvtec_stays_the_test_part(tmp_path):
    for i in range(10):
        picture(tmp_path / "train" / "good" / f"{i}.png", seed=i)
    for i in range(3):
        picture(tmp_path / "test" / "good" / f"{i}.png", seed=10 + i)
        picture(tmp_path / "test" / "crack" / f"{i}.png", seed=20 + i)
    folder = load(tmp_path)
    split = splits.from_folder(folder)
    normal_tests = split.test_index[~split.test_is_anomaly]
    assert folder.is_test[normal_tests].all()
    assert len(normal_tests) == 3
    assert not folder.is_test[split.train_index].any()


def test_too_few_pictures_for_a_split_and_what_few_can_tell(tmp_path):
    plain(tmp_path, normals=3, kinds=())
    with pytest.raises(ValueError, match=r"needs at least 4 normal pictures .* has 3"):
        splits.from_folder(load(tmp_path))
    few = splits.from_folder(load(plain(tmp_path / "few", normals=8)))
    plain(tmp_path, normals=40, each=12)
    split = splits.from_folder(load(tmp_path))
    text = "\n".join(splits.limits(split))
    assert "1 validation normal: " in "".join(splits.limits(few))
    assert "6 validation normals: a threshold from so few" in text
    assert "1 in 7" in text
    assert "8 test normals: a false-alarm rate of 50% measured on so few may be 16% to 84%" in text
