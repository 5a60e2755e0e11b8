"""Folders of images, CIFAR-10 and Tiny-ImageNet among them, and the cache of decoded images."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from gossamer.training.data import images as images_module
from gossamer.training.data import load_dataset
from gossamer.training.data.cifar10 import CLASSES
from gossamer.training.errors import TrainingError

RNG = np.random.default_rng(0)
GRAY, COLOUR = (8, 6), (8, 6, 3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(path, shape=COLOUR, mode=None):
    """Write a random image; its pixels, which a .png gives back exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, shape, np.uint8)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return pixels


def load(folder, split="train"):
    return load_dataset(f"folder:{folder}", split)


def refused(folder, code, split="train"):
    with pytest.raises(TrainingError) as caught:
        load(folder, split)
    assert caught.value.code == code
    return str(caught.value)


def test_a_folder_gives_images_by_class_and_file_name(tmp_path):
    pixels = {name: save(tmp_path / "train" / name) for name in ("b/2.png", "a/9.PNG", "b/10.png")}
    save(tmp_path / "train" / "b" / "3.jpg")
    (tmp_path / "train" / "b" / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".hidden").mkdir()
    save(tmp_path / "train" / "b" / ".hidden.png")
    data = load(tmp_path)
    assert (data.class_names, data.y.tolist(), data.shape) == (("a", "b"), [0, 1, 1, 1], (3, 8, 6))
    for i, name in enumerate(["a/9.PNG", "b/10.png", "b/2.png"]):
        np.testing.assert_array_equal(data.x[i], pixels[name].transpose(2, 0, 1))


def test_gray_images_give_one_channel_only_if_all_are_gray(tmp_path):
    gray = save(tmp_path / "train" / "a" / "0.png", GRAY)
    assert load(tmp_path).shape == (1, 8, 6)
    np.testing.assert_array_equal(load(tmp_path).x[0, 0], gray)
    save(tmp_path / "train" / "a" / "1.png", COLOUR)
    data = load(tmp_path)
    np.testing.assert_array_equal(data.x[0], np.stack([gray] * 3))


def test_palette_and_bilevel_images_are_read(tmp_path):
    save(tmp_path / "train" / "a" / "0.png", COLOUR, mode="P")
    save(tmp_path / "train" / "a" / "1.png", GRAY, mode="1")
    assert set(np.unique(load(tmp_path).x[1])) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "LA"])
def test_other_pixel_formats_are_refused_rather_than_guessed(mode, tmp_path):
    save(tmp_path / "train" / "a" / "0.png", GRAY, mode=mode)
    assert "convert it to RGB" in refused(tmp_path, "GSM-602")


def test_the_test_split_numbers_its_classes_as_the_training_split(tmp_path):
    for name in ("train/a/0.png", "train/b/0.png", "val/b/0.png"):
        save(tmp_path / name)
    data = load(tmp_path, "test")
    assert (data.y.tolist(), data.n_classes) == ([1], 2)
    save(tmp_path / "val" / "c" / "0.png")
    assert "found: c" in refused(tmp_path, "GSM-605", "test")


def test_a_test_split_alone_numbers_its_own_classes(tmp_path):
    save(tmp_path / "test" / "b" / "0.png")
    assert load(tmp_path, "test").class_names == ("b",)
    assert "train" in refused(tmp_path, "GSM-601", "train")


def test_a_folder_without_images_is_refused(tmp_path):
    assert "nowhere" in refused(tmp_path / "nowhere", "GSM-601")
    (tmp_path / "train").mkdir()
    refused(tmp_path, "GSM-601")
    (tmp_path / "train" / "a").mkdir()
    assert "one folder of images per class" in refused(tmp_path, "GSM-601")


def test_images_of_two_sizes_are_refused(tmp_path):
    save(tmp_path / "train" / "a" / "0.png")
    save(tmp_path / "train" / "a" / "1.png", (6, 8, 3))
    assert "1.png: wrong image size; found: 8x6; expected: 6x8" in refused(tmp_path, "GSM-602")


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    save(tmp_path / "train" / "a" / "0.png")
    monkeypatch.setattr(images_module, "MAX_BYTES", 8 * 6 * 3 - 1)
    assert "too many pixels" in refused(tmp_path, "GSM-602")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("keep", [0, 20, 0.7])
def test_a_damaged_image_is_named(suffix, keep, tmp_path):
    for name in ("0", "1"):
        save(tmp_path / "train" / "a" / f"{name}.{suffix}", (32, 32, 3))
    damaged = tmp_path / "train" / "a" / f"1.{suffix}"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    assert f"1.{suffix}: the image cannot be decoded" in refused(tmp_path, "GSM-602")
    damaged.rename(damaged.with_name(f"-first.{suffix}"))
    assert f"-first.{suffix}" in refused(tmp_path, "GSM-602")


def test_files_of_other_formats_are_not_decoded_whatever_their_name(tmp_path):
    save(tmp_path / "train" / "a" / "0.gif")
    (tmp_path / "train" / "a" / "0.gif").rename(tmp_path / "train" / "a" / "0.png")
    refused(tmp_path, "GSM-602")


def test_a_link_to_nowhere_is_no_traceback(tmp_path):
    save(tmp_path / "train" / "a" / "0.png")
    (tmp_path / "train" / "a" / "1.png").symlink_to(tmp_path / "gone")
    assert "1.png" in refused(tmp_path, "GSM-601")


def test_pillow_is_needed_only_for_images(tmp_path, monkeypatch):
    save(tmp_path / "train" / "a" / "0.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert "pip install" in refused(tmp_path, "GSM-701")


# The cache


def count_decoding(monkeypatch):
    calls = []
    decode = images_module._decode_all
    monkeypatch.setattr(images_module, "_decode_all", lambda *a: calls.append(1) or decode(*a))
    return calls


def test_images_are_decoded_once_and_again_when_a_file_changes(tmp_path, cache, monkeypatch):
    save(tmp_path / "train" / "a" / "0.png")
    calls = count_decoding(monkeypatch)
    first, second = load(tmp_path), load(tmp_path)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.x, second.x)
    changed = save(tmp_path / "train" / "a" / "0.png")
    os.utime(tmp_path / "train" / "a" / "0.png", ns=(1, 1))  # as a clock would show it, however coarse it is
    np.testing.assert_array_equal(load(tmp_path).x[0], changed.transpose(2, 0, 1))
    save(tmp_path / "train" / "a" / "1.png")
    assert load(tmp_path).n_samples == 2
    (tmp_path / "train" / "a" / "1.png").rename(tmp_path / "train" / "a" / "2.png")
    load(tmp_path)
    assert len(calls) == 4
    assert len(list(cache.iterdir())) == 2


def damage_array(cache, change):
    (file,) = cache.glob("*.npy")
    file.write_bytes(change(file.read_bytes()))


def damage_header(cache, change):
    (file,) = cache.glob("*.json")
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "change"),
    [
        (damage_array, lambda content: content[:-1] + bytes([content[-1] ^ 1])),
        (damage_array, lambda content: content[:-5]),
        (damage_array, lambda content: b""),
        (damage_array, lambda content: b"\x80\x04N."),
        (damage_header, lambda content: b"{"),
        (damage_header, lambda content: b"\xff"),
        (damage_header, lambda content: b"[]"),
        (damage_header, lambda content: b"{}"),
        (damage_header, lambda content: json.dumps(json.loads(content) | {"format": 2}).encode()),
    ],
)
def test_a_damaged_cache_is_ignored_and_made_again(damage, change, tmp_path, cache, monkeypatch):
    save(tmp_path / "train" / "a" / "0.png")
    expected = load(tmp_path).x
    damage(cache, change)
    calls = count_decoding(monkeypatch)
    np.testing.assert_array_equal(load(tmp_path).x, expected)
    np.testing.assert_array_equal(load(tmp_path).x, expected)
    assert len(calls) == 1


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, cache):
    save(tmp_path / "train" / "a" / "0.png")
    cache.write_text("a file where the folder should be")
    assert load(tmp_path).n_samples == 1


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, cache, monkeypatch):
    def disk_full(*_, **__):
        raise OSError(28, "No space left on device")

    save(tmp_path / "train" / "a" / "0.png")
    monkeypatch.setattr(np, "save", disk_full)
    assert load(tmp_path).n_samples == 1
    assert list(cache.iterdir()) == []


# CIFAR-10


@pytest.mark.parametrize("layout", ["cifar10-images", "cifar10"])
def test_cifar10_is_read_from_a_folder_of_images(layout, tmp_path):
    for name in CLASSES:
        save(tmp_path / layout / "test" / name / "0000.jpg", (32, 32, 3))
    data = load_dataset("cifar10", "test", root=tmp_path)
    assert (data.name, data.class_names, data.y.tolist()) == ("cifar10", CLASSES, list(range(10)))


def test_class_folders_that_are_not_those_of_cifar10_are_refused(tmp_path):
    for name in CLASSES[1:]:
        save(tmp_path / "cifar10" / "train" / name / "0.png", (32, 32, 3))
    with pytest.raises(TrainingError, match=r"GSM-605.*expected: airplane, automobile"):
        load_dataset("cifar10", "train", root=tmp_path)
    save(tmp_path / "cifar10" / "train" / "airplane" / "0.png", (16, 16, 3))
    with pytest.raises(TrainingError, match=r"GSM-602.*airplane.*expected: 32x32"):
        load_dataset("cifar10", "train", root=tmp_path)


# Tiny-ImageNet


def test_a_class_of_cifar10_without_images_is_missed(tmp_path):
    for split in ("train", "test"):
        for name in CLASSES:
            save(tmp_path / "cifar10" / split / name / "0.png", (32, 32, 3))
    (tmp_path / "cifar10" / "test" / "ship" / "0.png").unlink()
    for remove in (lambda: None, (tmp_path / "cifar10" / "test" / "ship").rmdir):
        remove()
        with pytest.raises(TrainingError, match="ship") as caught:
            load_dataset("cifar10", "test", root=tmp_path)
        assert caught.value.code == "GSM-601"


def write_tiny_imagenet(root, wnids=("n02", "n01", "n03")):
    folder = root / "tiny-imagenet-200"
    for wnid in ("n02", "n01"):
        save(folder / "train" / wnid / "images" / f"{wnid}_0.JPEG", (64, 64, 3))
    save(folder / "train" / "n01" / "images" / "n01_1.JPEG", (64, 64))
    for i in range(3):
        save(folder / "val" / "images" / f"val_{i}.JPEG", (64, 64, 3))
    lines = ["val_2.JPEG\tn02\t0\t0\t9\t9", "val_0.JPEG\tn01\t0\t0\t9\t9", "val_1.JPEG\tn03\t0\t0\t9\t9"]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (folder / "wnids.txt").write_text("\n".join(wnids) + "\n")
    (folder / "words.txt").write_text("n01\ttench, Tinca tinca\nn09\tother\n")
    return folder


def test_tiny_imagenet_reads_the_classes_that_are_present(tmp_path):
    write_tiny_imagenet(tmp_path)
    train = load_dataset("tiny-imagenet", "train", root=tmp_path)
    assert (train.shape, train.n_classes, train.y.tolist()) == ((3, 64, 64), 2, [0, 0, 1])
    assert train.class_names == ("tench", "n02")
    assert (train.x[1, 0] == train.x[1, 2]).all()  # grayscale became RGB
    test = load_dataset("tiny-imagenet", "test", root=tmp_path)
    assert test.y.tolist() == [1, 0]


def test_tiny_imagenet_reads_only_the_classes_that_wnids_lists(tmp_path):
    write_tiny_imagenet(tmp_path, wnids=("n02",))
    assert load_dataset("tiny-imagenet", "train", root=tmp_path).class_names == ("n02",)
    assert load_dataset("tiny-imagenet", "test", root=tmp_path).n_samples == 1


@pytest.mark.parametrize("line", ["val_0.JPEG n01", "../val_0.JPEG\tn01\t0", "\tn01", "val_9.JPEG\tn01\t0"])
def test_a_wrong_line_of_annotations_is_named(line, tmp_path):
    folder = write_tiny_imagenet(tmp_path)
    (folder / "val" / "val_annotations.txt").write_text(f"val_2.JPEG\tn02\t0\n{line}\n")
    with pytest.raises(TrainingError, match=r"GSM-602.*line 2"):
        load_dataset("tiny-imagenet", "test", root=tmp_path)


def test_parts_of_tiny_imagenet_that_are_missing_are_named(tmp_path):
    folder = write_tiny_imagenet(tmp_path, wnids=("n77",))
    with pytest.raises(TrainingError, match=r"GSM-601.*wnids.txt"):
        load_dataset("tiny-imagenet", "train", root=tmp_path)
    (folder / "wnids.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match=r"GSM-602.*UTF-8"):
        load_dataset("tiny-imagenet", "train", root=tmp_path)
    write_tiny_imagenet(tmp_path)
    (folder / "words.txt").unlink()
    assert load_dataset("tiny-imagenet", "train", root=tmp_path).class_names == ("n01", "n02")
    (folder / "val" / "val_annotations.txt").write_text("")
    with pytest.raises(TrainingError, match=r"GSM-601.*val"):
        load_dataset("tiny-imagenet", "test", root=tmp_path)
    (folder / "val" / "val_annotations.txt").unlink()
    with pytest.raises(TrainingError, match=r"GSM-601.*val_annotations.txt"):
        load_dataset("tiny-imagenet", "test", root=tmp_path)
