"""Image folders are listed in a fixed order and read in any format; errors name bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lbc import config
from lbc.cli.console import Console
from lbc.cli.terminal import train_in_terminal
from lbc.config import Experiment
from lbc.data import DataError, Loader, describe, load
from lbc.data.dataset import Box
from lbc.runs.events import Event
from lbc.training.trainer import Trainer
from lbc_gui.run.log_panel import describe as describe_event

FORMATS = ["png", "jpg", "bmp", "webp", "gif", "tif"]


def save_image(path: Path, width: int = 20, height: int = 12, mode: str = "RGB") -> Path:
    """Save an image of one colour, which depends on its name and survives lossy formats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    level = 40 + 10 * (sum(path.stem.encode()) % 16)
    colour = (level, 255 - level, 90) if mode == "RGB" else level
    Image.new(mode, (width, height), colour).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, count in (("train", 6), ("val", 2)):
        for name in ("dog", "cat", "eel"):
            for number in range(count):
                save_image(tmp_path / split / name / f"{name}{number}.{FORMATS[number]}")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "cat" / ".hidden.png").write_text("not an image")
    (tmp_path / "train" / "read me").write_text("no class")
    return tmp_path


def folder(root: Path, **settings: int | str) -> config.ImageFolder:
    values = {"size": 8, "resize": 10, "workers": 0} | settings
    return config.ImageFolder.model_validate({"folder": root, **values})


def error_message(root: Path) -> str:
    """The error for a folder, raised when it is loaded or when its images are read."""
    with pytest.raises(DataError) as caught:
        source = folder(root)
        loader = Loader(load(source), source, 4)
        list(loader.batches(0))
        list(loader.test_batches())
    sentence = str(caught.value)
    assert str(root) in sentence and "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_images_of_every_format_are_sorted_by_name(root: Path) -> None:
    source = folder(root)
    data = load(source)
    assert (data.name, data.classes, data.in_shape) == (root.name, 3, (3, 8, 8))
    assert data.train.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    images = data.train.read(torch.arange(18))
    assert images.dtype == torch.uint8 and images.shape == (18, 3, 8, 8)
    for row, name in ((1, "cat1"), (6, "dog0"), (17, "eel5")):
        level = 40 + 10 * (sum(name.encode()) % 16)
        seen = images[row].float().mean((1, 2))
        assert torch.allclose(seen, torch.tensor([level, 255.0 - level, 90.0]), atol=4)
    assert describe(source) == ((3, 8, 8), 3)


def test_the_centre_crop_is_that_of_the_resized_image(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))  # 100 high, 200 wide
    for split in ("train", "val"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(ramp).save(tmp_path / split / name / "x.png")
    data = load(folder(tmp_path, size=40, resize=50))
    (image,) = data.test.read(torch.tensor([0]))
    with Image.open(tmp_path / "val" / "a" / "x.png") as opened:
        resized = opened.resize((100, 50), Image.Resampling.BILINEAR)
    whole = torch.from_numpy(np.array(resized))
    assert torch.equal(image[0], whole[5:45, 30:70])
    assert torch.equal(image[0], image[2])


def test_a_crop_is_resized(root: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(image).save(root / "train" / "cat" / "cat0.png")
    (cut,) = load(folder(root)).train.read(torch.tensor([0]), lambda *_: Box(2, 3, 8, 8))
    assert torch.equal(cut, torch.from_numpy(image[2:10, 3:11].copy()).permute(2, 0, 1))


def test_greyscale_transparent_and_palette_images_become_rgb(root: Path) -> None:
    for number, mode in enumerate(("L", "1", "P", "LA", "RGBA", "CMYK")):
        Image.new("L", (9, 9), 255).convert(mode).save(
            root / "train" / "cat" / f"z{number}.{'tif' if mode == 'CMYK' else 'png'}"
        )
    images = load(folder(root)).train.read(torch.arange(6, 12))
    assert bool((images == 255).all())


def test_images_are_normalised_by_imagenets_statistics(root: Path) -> None:
    data = load(folder(root))
    grey = data.normalise(torch.full((1, 3, 1, 1), 255 * 0.5))
    expected = [(0.5 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert torch.allclose(grey.flatten(), torch.tensor(expected), atol=1e-6)


def read_all(root: Path, workers: int) -> Tensor:
    augment = {"crop": "resized", "flip": True, "erasing": 0.5, "rand_augment": 9.0, "mixup": 0.8}
    source = folder(root).model_copy(
        update={"workers": workers, "augment": config.Augment.model_validate(augment)}
    )
    loader = Loader(load(source), source, 4, seed=1)
    found = torch.cat([batch.images for batch in loader.batches(epoch=3)])
    tested = torch.cat([batch.images for batch in loader.test_batches()])
    loader.close()
    return torch.cat([found, tested])


def test_worker_processes_do_not_change_the_batches(root: Path) -> None:
    assert torch.equal(read_all(root, workers=0), read_all(root, workers=2))


def test_an_error_in_a_worker_names_the_bad_image(root: Path) -> None:
    source = folder(root, workers=1)
    loader = Loader(load(source), source, 4)
    (root / "train" / "eel" / "eel3.webp").write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"eel3\.webp is not an image: replace or remove it"
    ) as caught:
        list(loader.batches(0))
    assert "\n" not in str(caught.value)
    loader.close()


@pytest.mark.parametrize("name", ["dog0.png", "dog1.jpg", "dog3.webp", "dog5.tif"])
def test_the_error_names_a_truncated_image(root: Path, name: str) -> None:
    file = root / "train" / "dog" / name
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(image).save(file)
    file.write_bytes(file.read_bytes()[:-400])
    assert f"{file} is " in error_message(root)


def test_16_bit_images_and_eps_programs_are_rejected(root: Path) -> None:
    file = root / "train" / "dog" / "dog0.png"
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(file)
    assert "more than 8 bits" in error_message(root)
    Image.new("RGB", (9, 9)).save(file, format="EPS")
    assert "is not an image" in error_message(root)


def test_an_image_that_would_fill_the_memory_is_rejected(root: Path) -> None:
    (root / "train" / "dog" / "dog0.png").write_bytes(b"P6 8000 8000 255\n")  # and no pixels
    assert "8000 × 8000 pixels, more than 60 megapixels" in error_message(root)


def test_the_error_names_a_missing_image(root: Path) -> None:
    data = load(folder(root))
    (root / "train" / "cat" / "cat0.png").unlink()
    with pytest.raises(DataError, match=r"cat0\.png is missing"):
        data.train.read(torch.tensor([0]))


def test_invalid_folder_layouts_are_reported(root: Path) -> None:
    (root / "val" / "fox").mkdir()
    assert f"{root / 'val' / 'fox'} is a class that" in error_message(root)
    (root / "train" / "fox").mkdir()
    assert f"{root / 'train' / 'fox'} has no images" in error_message(root)
    (root / "val").rename(root / "test")
    save_image(root / "train" / "fox" / "a.png")
    assert f"{root / 'test' / 'fox'} has no images" in error_message(root)
    (root / "test").rename(root / "other")
    assert "has no folder val" in error_message(root)
    (root / "train").rename(root / "val")
    with pytest.raises(DataError, match="has no folder train"):
        describe(folder(root))


def test_an_empty_folder_and_a_single_class_are_reported(tmp_path: Path) -> None:
    assert "has no folder train" in error_message(tmp_path)
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    assert "has 0 class folder(s)" in error_message(tmp_path)
    save_image(tmp_path / "train" / "cat" / "a.png")
    assert "has 1 class folder(s)" in error_message(tmp_path)


# A picture of 3 × 2 fields and how each orientation stores it: EXIF 2.32, 4.6.5, "Orientation".
UPRIGHT = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT.T[::-1, ::-1],
    8: UPRIGHT.T[:, ::-1],
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_every_exif_orientation_is_turned_upright(tmp_path: Path, ending: str) -> None:
    for number, stored in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = number
        pixels = np.kron(stored, np.ones((16, 16), np.uint8))
        for split in ("train", "val"):
            for name in "ab":
                path = tmp_path / split / name / f"{number}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).convert("RGB").save(path, exif=exif)
    data = load(folder(tmp_path, size=32, resize=32))
    expected = torch.from_numpy(np.kron(UPRIGHT, np.ones((16, 16))))[:, 8:40]
    for images in (
        data.test.read(torch.arange(16)),
        data.train.read(torch.arange(16), lambda _, height, width: Box(0, 8, height, width - 16)),
    ):
        assert images.shape == (16, 3, 32, 32)
        error = (images.float() - expected).abs()
        assert float(error.flatten(1).quantile(0.9, dim=1).max()) < 12
    assert data.notes == tuple(
        f"Turned upright, as their EXIF orientation says: 14 of 16 images in {tmp_path / split}."
        for split in ("train", "val")
    )


def test_a_damaged_or_unknown_orientation_turns_nothing(root: Path) -> None:
    exif = Image.Exif()
    for number, value in enumerate((0, 9, 65535)):
        exif[0x0112] = value
        Image.new("RGB", (9, 9)).save(root / "train" / "cat" / f"z{number}.jpg", exif=exif)
    data = load(folder(root))
    assert not any("Turned" in note for note in data.notes)
    data.train.read(torch.arange(6, 9))


@pytest.mark.parametrize(
    "name", ["a.pdf", "a.mpg", "A.H5", "a.eps", "a.mp4", "a.heic", "a.npy", "a.zip", "a.jpg.part"]
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_files_that_are_no_images_are_refused_before_training(
    root: Path, name: str, split: str
) -> None:
    for kind in ("cat", "dog"):
        (root / split / kind / name).write_bytes(b"%PDF")
    with pytest.raises(DataError) as caught:
        load(folder(root))
    expected = f"files that are no images (cat/{name}, dog/{name}): remove them"
    assert expected in str(caught.value) and str(root / split) in str(caught.value)


def test_ignored_files_are_named_and_hidden_ones_are_not(root: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._cat0.png"):
        (root / "val" / "cat" / name).write_bytes(b"x")
    for folder_name in ("__MACOSX", ".git", "@eaDir"):
        (root / "train" / folder_name).mkdir()
    (root / "train" / "dog" / "more").mkdir()
    assert load(folder(root)).notes == (
        f"Ignored in {root}, as no images: train/cat/notes.txt, train/dog/more/.",
    )


def test_images_outside_the_classes_are_reported(root: Path) -> None:
    save_image(root / "train" / "lost.png")
    assert "has images in no class (lost.png)" in error_message(root)


def test_unusable_images_are_counted_before_training(root: Path) -> None:
    (root / "val" / "dog" / "dog1.jpg").write_bytes(b"<html>")
    (root / "val" / "eel" / "eel0.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(folder(root))
    file = root / "val" / "dog" / "dog1.jpg"
    assert str(caught.value) == (
        f"{file} is not an image: replace or remove it. 1 more cannot be used."
    )


def test_the_first_frame_of_an_animation_is_read(root: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("#0a141e", "white")]
    for number, ending in enumerate(("gif", "webp", "png")):
        path = root / "train" / "cat" / f"z{number}.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
    images = load(folder(root)).train.read(torch.arange(6, 9))
    expected = torch.tensor([10, 20, 30])[None, :, None, None]
    assert float((images - expected).abs().max()) <= 8


def test_the_terminal_and_the_log_say_what_was_done_with_the_files(
    root: Path, quick: Callable[..., Experiment], capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"name": "folder", "folder": root, "size": 8, "resize": 8, "workers": 0}
    experiment = quick(data=data, training={"epochs": 2, "batch_size": 4})
    events: list[Event] = []
    Trainer(experiment, None, emit=events.append).train()
    train_in_terminal(experiment, root / "run", Console())
    note = f"Ignored in {root}, as no images: train/cat/notes.txt."
    assert note in capsys.readouterr().out
    assert note in describe_event(events[0])
