"""Every transform follows its formula and gives the same result in every process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lbc import config
from lbc.data import Batch, DataError, Loader
from lbc.data.augmentation.colour import DIRECTIONS, color_jitter, lighting
from lbc.data.augmentation.crop import flip, pad_crop, resized_crop
from lbc.data.augmentation.draws import Draws, Share
from lbc.data.augmentation.erasing import erase
from lbc.data.augmentation.mix import cutmix_box, mix
from lbc.data.augmentation.rand_augment import OPERATIONS, rand_augment
from lbc.data.batches import batches
from lbc.data.dataset import Dataset, InMemoryImages, make_dataset

EVERYTHING = {
    "crop": "resized", "flip": True, "rand_augment": 9.0, "color_jitter": 0.4, "lighting": 0.1,
    "erasing": 0.5, "mixup": 0.8, "cutmix": 1.0, "repeats": 3,
}  # fmt: skip


def whole(count: int, *seed: int) -> Draws:
    return Draws(seed or (0,), Share(0, count, count))


def noise(count: int, channels: int = 3, height: int = 8, width: int = 10) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def coloured(count: int = 30) -> Dataset:
    labels = torch.arange(count) % 3
    return make_dataset(
        "mine", InMemoryImages(noise(count), labels), InMemoryImages(noise(4), labels[:4]), 3
    )


def loader(augment: dict[str, object], rank: int = 0, world: int = 1, workers: int = 0) -> Loader:
    settings = config.Augment.model_validate(augment)
    source = config.Digits(augment=settings, workers=workers)
    return Loader(coloured(), source, 7, seed=5, min_size=2 * world, rank=rank, world=world)


def assert_same(one: Iterator[Batch], other: Iterator[Batch]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert torch.equal(mine.images, theirs.images) and torch.equal(mine.labels, theirs.labels)


# -- random numbers -------------------------------------------------------------------------------


@given(st.integers(1, 9), st.data())
def test_concatenated_shares_equal_the_draws_of_one_process(size: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, size))
    parts = [Draws((1, 2), Share(0, cut, size)), Draws((1, 2), Share(cut, size, size))]
    one = Draws((1, 2), Share(0, size, size))
    assert torch.equal(torch.cat([part.uniform(2) for part in parts]), one.uniform(2))
    assert len({part.once() for part in (*parts, one)}) == 1
    assert [seed for part in parts for seed in part.seeds()] == one.seeds()
    assert torch.equal(torch.cat([part.normal() for part in parts]), one.normal())


@pytest.mark.parametrize("world", [2, 3])
def test_concatenated_ranks_equal_the_mixed_batch_of_one_process(world: int) -> None:
    ranks = [loader(EVERYTHING, rank, world).batches(1) for rank in range(world)]
    alone = Loader(
        coloured(), config.Digits(augment=config.Augment.model_validate(EVERYTHING)), 7,
        seed=5, min_size=2 * world,
    )  # fmt: skip
    for batch, *shares in zip(alone.batches(1), *ranks, strict=True):
        assert torch.equal(torch.cat([share.images for share in shares]), batch.images)
        assert torch.equal(torch.cat([share.labels for share in shares]), batch.labels)


def test_an_augmented_epoch_can_be_resumed_and_differs_from_the_next() -> None:
    one = loader(EVERYTHING)
    for start in (1, 3):
        rest = list(loader(EVERYTHING).batches(2))[start:]
        assert_same(one.batches(2, start), iter(rest))
    first, second = (next(one.batches(epoch)) for epoch in (0, 1))
    assert not torch.equal(first.images, second.images)


def test_images_are_unchanged_without_transforms_and_test_images_always() -> None:
    data = coloured()
    (rows, *_) = batches(30, 7, 5, 0)
    plain = next(loader({}).batches(0))
    assert torch.equal(plain.images, data.normalise(data.train.read(rows)))
    assert torch.equal(plain.labels, data.train.labels[rows])
    assert_same(loader(EVERYTHING).test_batches(), loader({}).test_batches())


@given(st.integers(1, 40), st.integers(2, 9), st.integers(2, 4))
def test_repeats_order_copies_round_by_round(length: int, size: int, repeats: int) -> None:
    drawn = list(batches(length, size, 0, 0, repeats=repeats))
    assert sum(map(len, drawn)) == length
    counts = torch.cat(drawn).bincount(minlength=length)
    assert int(counts.max()) <= repeats and int((counts > 0).sum()) == -(-length // repeats)
    seen = torch.zeros(length, dtype=torch.int64)
    for rows in drawn:
        rounds = []
        for row in rows.tolist():
            rounds.append(int(seen[row]))
            seen[row] += 1
        assert rounds == sorted(rounds)
        if len(rows) % repeats == size % repeats == 0 and len(set(rows.tolist())) > 1:
            assert not (rows[1:] == rows[:-1]).any()
    rest = list(batches(length, size, 0, 0, start=1, repeats=repeats))
    assert [rows.tolist() for rows in rest] == [rows.tolist() for rows in drawn[1:]]


# -- crops and flips ------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 1000))
def test_a_padded_crop_shifts_an_image_by_whole_pixels(padding: int, seed: int) -> None:
    images = noise(3)
    moved = pad_crop(images, padding, whole(3, seed))
    places = (whole(3, seed).uniform(2) * (2 * padding + 1)).long().tolist()
    for image, result, (down, right) in zip(images, moved, places, strict=True):
        for y in range(8):
            for x in range(10):
                at = (y + down - padding, x + right - padding)
                inside = 0 <= at[0] < 8 and 0 <= at[1] < 10
                expected = image[:, at[0], at[1]] if inside else torch.zeros(3, dtype=torch.uint8)
                assert torch.equal(result[:, y, x], expected)


def test_padded_crops_have_uniform_offsets() -> None:
    images = torch.zeros(20_000, 1, 1, 1, dtype=torch.uint8)
    images[:] = 9
    stay = pad_crop(images, 1, whole(20_000)).flatten() == 9
    assert float(stay.double().mean()) == pytest.approx(1 / 9, abs=0.01)


def test_half_of_the_images_are_flipped() -> None:
    images = noise(400)
    mirrored = flip(images, whole(400))
    kept = (mirrored == images).flatten(1).all(1)
    turned = (mirrored == images.flip(3)).flatten(1).all(1)
    assert bool((kept ^ turned).all()) and 150 < int(turned.sum()) < 250


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 1), st.integers(0, 99))
def test_a_resized_crop_is_inside_the_image_and_has_the_requested_area(
    height: int, width: int, smallest: float, seed: int
) -> None:
    box = resized_crop(smallest, whole(1, seed))(0, height, width)
    assert box.top >= 0 and box.top + box.height <= height and box.height > 0
    assert box.left >= 0 and box.left + box.width <= width and box.width > 0
    if min(height, width) > 50 and 0.75 <= width / height <= 4 / 3:
        assert box.height * box.width >= 0.9 * smallest * height * width
        assert 0.7 < box.width / box.height < 1.43


def test_a_crop_in_memory_is_resized_to_the_image_size() -> None:
    data = coloured()
    crop = resized_crop(0.2, whole(5))
    read = data.train.read(torch.arange(5), crop)
    assert read.shape == (5, 3, 8, 10) and read.dtype == torch.uint8
    box = crop(0, 8, 10)
    part = noise(30)[0, :, box.top : box.top + box.height, box.left : box.left + box.width]
    assert float(read[0].float().mean()) == pytest.approx(float(part.float().mean()), abs=12)


# -- colours --------------------------------------------------------------------------------------


def test_zero_jitter_changes_nothing_and_any_jitter_stays_in_range() -> None:
    images = noise(6)
    assert torch.allclose(color_jitter(images, 0.0, whole(6)), images.float(), atol=1e-3)
    changed = color_jitter(images, 0.9, whole(6))
    assert float(changed.min()) >= 0 and float(changed.max()) <= 255
    grey = color_jitter(noise(6, channels=1), 0.4, whole(6))
    assert grey.shape == (6, 1, 8, 10)


def test_jitter_is_brightness_then_contrast_then_saturation() -> None:
    image = noise(1).float() / 4 + 90  # far from 0 and 255, so that nothing is clamped
    b, c, s = (1 + 0.2 * (2 * whole(1).uniform(3).float() - 1)).flatten().tolist()
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    expected = image[0] * b
    expected = c * expected + (1 - c) * (expected * weights).sum(0).mean()
    expected = s * expected + (1 - s) * (expected * weights).sum(0)
    assert torch.allclose(color_jitter(image, 0.2, whole(1))[0], expected, atol=1e-3)


def test_lighting_shifts_images_along_the_principal_components() -> None:
    images = noise(4)
    shift = lighting(images, 0.1, whole(4)) - images
    assert torch.allclose(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-4)
    alpha = whole(4).normal(3).float() * 0.1
    along = shift[:, :, 0, 0] @ DIRECTIONS
    assert torch.allclose(along, alpha * torch.tensor([0.2175, 0.0188, 0.0045]) * 255, atol=1e-2)
    assert torch.allclose(DIRECTIONS.T @ DIRECTIONS, torch.eye(3), atol=2e-3)


# -- RandAugment ----------------------------------------------------------------------------------


def test_strength_0_changes_nothing_for_operations_that_have_a_strength() -> None:
    image = noise(1, height=64, width=64)[0] // 2 + 20
    pil_image = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    for number, operation in enumerate(OPERATIONS):
        same = operation(pil_image, 0.0, (1, 2, 3)).tobytes() == pil_image.tobytes()
        assert same == (number not in (0, 1, 2, 4)), number  # posterize then keeps 4 bits


def test_operations_match_the_recipe() -> None:
    image = noise(1)[0]
    pil_image = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())

    def changed(number: int, amount: float) -> Tensor:
        pixels = bytearray(OPERATIONS[number](pil_image, amount, (1, 2, 3)).tobytes())
        return torch.frombuffer(pixels, dtype=torch.uint8).view(8, 10, 3).permute(2, 0, 1)

    assert torch.equal(changed(2, 0), 255 - image)
    assert torch.equal(changed(4, -0.5), image & 0b11000000)
    assert torch.equal(changed(5, 0.5), torch.where(image < 128, image, 255 - image))
    added = torch.where(image < 128, (image.int() + 55).clamp(max=255).byte(), image)
    assert torch.equal(changed(6, 0.5), added)
    dark = (image.float() * 0.1).int()
    assert bool(((changed(9, -1).int() - dark).abs() <= 1).all())
    moved = changed(13, 1.0)  # by 4.5 of 10 pixels to the left
    assert torch.equal(
        moved[:, :, 6:], torch.tensor([1, 2, 3]).byte()[:, None, None].expand(3, 8, 4)
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_leaves_a_quarter_of_the_images_unchanged(channels: int) -> None:
    images = noise(600, channels)
    fill = torch.full((channels,), 128.0)
    changed = rand_augment(images, 9, 0.5, fill, whole(600))
    assert changed.shape == images.shape and changed.dtype == torch.uint8
    alone = (changed == images).flatten(1).all(1).double().mean()
    assert 0.2 < float(alone) < 0.45  # (1/2)², plus operations that have no visible effect


# -- erasing and mixing ---------------------------------------------------------------------------


def test_erasing_fills_one_rectangle_with_noise() -> None:
    images = torch.zeros(300, 3, 32, 32)
    erased = erase(images.clone(), 0.25, whole(300)) != 0
    touched = erased.any(1)
    count = int(touched.flatten(1).any(1).sum())
    assert 50 < count < 100
    for one in touched[touched.flatten(1).any(1)]:
        rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
        height = int(rows.max() - rows.min()) + 1
        width = int(columns.max() - columns.min()) + 1
        assert int(one.sum()) == height * width
        assert 0.01 < height * width / 1024 < 0.36


def test_mixup_blends_neighbours_and_their_labels() -> None:
    images, labels = torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    mixed, shares = mix(images, labels, 3, 0.8, 0.0, whole(5))
    kept = float(shares[0, 0])
    assert 0 < kept < 1 and shares[0].tolist() == pytest.approx([kept, 1 - kept, 0])
    assert torch.allclose(mixed[0], kept * images[0] + (1 - kept) * images[1])
    assert torch.allclose(mixed[3], kept * images[3] + (1 - kept) * images[2])
    assert torch.allclose(mixed[4], images[4]) and shares[4].tolist() == pytest.approx([0, 1, 0])


def test_cutmix_pastes_a_box_and_mixes_labels_by_its_area() -> None:
    images, labels = torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 0, 1])
    seen = set()
    for seed in range(20):
        mixed, shares = mix(images, labels, 2, 0.0, 1.0, whole(4, seed))
        pasted = mixed[0] == images[1]
        assert bool((pasted | (mixed[0] == images[0])).all())
        assert float(shares[0, 1]) == pytest.approx(float(pasted.double().mean()))
        seen.add(int(pasted.sum()))
    assert len(seen) > 10


@given(st.floats(0, 1), st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)))
def test_the_cutmix_box_is_inside_the_image(kept: float, middle: tuple[float, float]) -> None:
    box = cutmix_box(kept, middle, 20, 30)
    assert 0 <= box.top <= box.top + box.height <= 20
    assert 0 <= box.left <= box.left + box.width <= 30
    assert box.height * box.width <= (1 - kept) * 600 + 1e-6


def test_class_probabilities_sum_to_one_and_cutmix_gets_half_of_the_batches() -> None:
    labels = torch.arange(6) % 3
    blended = 0
    for seed in range(200):
        mixed, shares = mix(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 8, 8).contiguous(),
                            labels, 3, 0.8, 1.0, whole(6, seed))  # fmt: skip
        assert torch.allclose(shares.sum(1), torch.ones(6))
        blended += bool((mixed != mixed.round()).any())
    assert 60 < blended < 140


# -- unsupported images ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "augment", "words"),
    [
        (noise(4).float(), {"rand_augment": 9.0}, "data.augment.rand_augment needs uint8 pixels"),
        (noise(4).float(), {"color_jitter": 0.4}, "data.augment.color_jitter needs uint8 pixels"),
        (noise(4, 1), {"lighting": 0.1}, "data.augment.lighting needs 3 channels, but"),
        (noise(4, 2), {"rand_augment": 9.0}, "needs 1 or 3 channels"),
    ],
)
def test_a_transform_that_the_images_do_not_support_is_reported(
    images: Tensor, augment: dict[str, object], words: str
) -> None:
    split = InMemoryImages(images, torch.tensor([0, 1, 0, 1]))
    source = config.Digits(augment=config.Augment.model_validate(augment))
    with pytest.raises(DataError) as caught:
        Loader(make_dataset("mine", split, split, 2), source, 2)
    assert words in str(caught.value) and "mine" in str(caught.value)


def test_geometric_transforms_and_mixing_support_any_pixels() -> None:
    split = InMemoryImages(torch.randn(4, 2, 6, 6) * 1e3, torch.tensor([0, 1, 0, 1]))
    augment = config.Augment(crop="resized", flip=True, erasing=0.5, mixup=1.0)
    train_loader = Loader(make_dataset("mine", split, split, 2), config.Digits(augment=augment), 4)
    (batch,) = train_loader.batches(0)
    assert batch.images.shape == (4, 2, 6, 6) and batch.labels.shape == (4, 2)
