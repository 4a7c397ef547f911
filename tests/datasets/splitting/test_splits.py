"""Splits keep groups and copies together, and are fixed by the seed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from drawn import image, mask, pairs, save
from pixelwise.datasets.dataset import DataOptions, detect_dataset, scan_dataset
from pixelwise.datasets.scan import image_descriptor
from pixelwise.datasets.splitting.similarity import find_near_pairs
from pixelwise.datasets.splitting.splits import choose_validation


def smooth(seed: int, size: tuple[int, int] = (120, 150)) -> np.ndarray:
    """Return an image with structure on several scales."""
    noise = np.random.default_rng(seed).normal(size=size)
    mixed = np.sum([ndimage.gaussian_filter(noise, sd) * sd for sd in (1, 3, 8)], axis=0)
    scaled = (mixed - mixed.min()) / np.ptp(mixed) * 255
    return scaled.astype(np.uint8)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40),
    st.integers(0, 5),
    st.floats(0.05, 0.6),
)
def test_groups_stay_whole_and_no_split_is_empty(groups: list[str], seed: int, share: float) -> None:
    chosen = choose_validation(groups, [frozenset()] * len(groups), share, seed)
    by_group = {group: {c for g, c in zip(groups, chosen, strict=True) if g == group} for group in groups}
    assert all(len(sides) == 1 for sides in by_group.values())
    assert any(chosen) == (len(by_group) > 1)
    assert not all(chosen)


def test_the_split_is_fixed_by_the_seed_and_near_the_share() -> None:
    groups = [f"case_{index}" for index in range(100)]
    nothing: list[frozenset[object]] = [frozenset()] * 100
    first = choose_validation(groups, nothing, 0.2, 0)
    assert first == choose_validation(groups, nothing, 0.2, 0)
    assert sum(first) == 20
    assert first != choose_validation(groups, nothing, 0.2, 1)


def test_the_only_image_of_a_class_stays_in_training() -> None:
    groups = [str(index) for index in range(20)]
    for seed in range(30):
        holds = [frozenset({"common"})] * 19 + [frozenset({"common", "rare"})]
        assert not choose_validation(groups, holds, 0.5, seed)[19]
        # control: without its classes it is drawn like any other
    drawn = [choose_validation(groups, [frozenset()] * 20, 0.5, seed)[19] for seed in range(30)]
    assert any(drawn)


def test_the_only_image_of_a_kind_stays_in_training_unless_no_validation_would_remain() -> None:
    groups, kinds = [str(index) for index in range(20)], ["gray on dark"] * 19 + ["colour on bright"]
    classes = [frozenset({"object"})] * 20
    for seed in range(30):
        assert not choose_validation(groups, classes, 0.5, seed, kinds)[19]
    # control: without kinds it is drawn like any other
    assert any(choose_validation(groups, classes, 0.5, seed)[19] for seed in range(30))
    assert sum(choose_validation(["a", "b"], classes[:2], 0.5, 0, ["gray on dark", "colour on bright"])) == 1


def test_classes_are_kept_in_training_before_kinds() -> None:
    """Every image is the only one of its kind, so that kinds cannot be kept; the rare class still is."""
    groups, kinds = [str(index) for index in range(4)], ["a", "b", "c", "d"]
    classes = [frozenset({"object"})] * 3 + [frozenset({"object", "rare"})]
    for seed in range(20):
        chosen = choose_validation(groups, classes, 0.5, seed, kinds)
        assert sum(chosen) == 2
        assert not chosen[3]


def test_the_one_colour_image_of_a_folder_stays_in_training_and_is_named(tmp_path: Path) -> None:
    for index in range(8):
        drawn = mask(index)
        gray = np.where(drawn > 0, 180, 20).astype(np.uint8)
        stained = np.stack([240 - gray // 3, 210 - gray, 235 - gray // 2], -1)
        save(tmp_path / "images" / f"{index}.png", stained if index == 2 else gray)
        save(tmp_path / "masks" / f"{index}.png", drawn)
    for seed in range(12):
        found = detect_dataset(tmp_path, seed=seed)
        assert "2" in {case.name for case in found.splits["train"]}
    assert any(
        "colour on bright" in text for seed in range(12) for text in detect_dataset(tmp_path, seed=seed).messages
    )


def altered(picture: np.ndarray) -> dict[str, np.ndarray]:
    height, width = picture.shape
    small = np.array(Image.fromarray(picture).resize((width // 2, height // 2), Image.Resampling.BOX))
    return {
        "same": picture,
        "brighter": (picture * 0.6 + 40).astype(np.uint8),
        "noisy": np.clip(picture + np.random.default_rng(1).normal(0, 3, picture.shape), 0, 255).astype(np.uint8),
        "smaller": small,
        "turned": np.rot90(picture),
        "flipped": picture[:, ::-1],
    }


@pytest.mark.parametrize("change", ["same", "brighter", "noisy", "smaller", "turned", "flipped"])
def test_copies_are_near(change: str) -> None:
    descriptors = np.stack(
        [image_descriptor(p[None]).ravel() for p in (smooth(0), altered(smooth(0))[change], smooth(1))]
    )
    pairs, correlations = find_near_pairs(descriptors)
    assert pairs.tolist() == [[0, 1]]
    np.testing.assert_allclose(correlations, descriptors[:1] @ descriptors[1], rtol=1e-5)


def test_constant_images_match_nothing() -> None:
    flat = np.stack([image_descriptor(np.full((1, 40, 40), v, np.uint8)).ravel() for v in (0, 9, 9)])
    assert not len(find_near_pairs(flat)[0])


def test_the_block_size_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelwise.datasets.splitting import similarity

    descriptors = np.stack([image_descriptor(smooth(seed % 7, (40, 40))[None]).ravel() for seed in range(20)])
    whole = find_near_pairs(descriptors)[0].tolist()
    monkeypatch.setattr(similarity, "_BLOCK", 3)
    assert find_near_pairs(descriptors)[0].tolist() == whole
    assert whole == [[a, b] for a in range(20) for b in range(a + 1, 20) if a % 7 == b % 7]


def write_copies(folder: Path) -> None:
    for seed in range(8):
        for copy, change in enumerate(("same", "noisy", "smaller")):
            picture = altered(smooth(seed))[change]
            save(folder / f"images/{seed}_{copy}.png", picture)
            save(folder / f"masks/{seed}_{copy}.png", mask(seed, size=picture.shape))


def test_copies_stay_in_one_split(tmp_path: Path) -> None:
    write_copies(tmp_path)
    for seed in range(5):
        dataset = detect_dataset(tmp_path, DataOptions(val_share=0.3), seed)
        sides: dict[str, set[str]] = {}
        for case in dataset.cases:
            sides.setdefault(case.name.split("_")[0], set()).add(case.split)
        assert all(len(parts) == 1 for parts in sides.values())
        assert dataset.split_made
        assert dataset.splits["val"]
        assert any("copies stay in one split" in text for text in dataset.messages)


def test_control_without_the_comparison_copies_are_in_both_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_copies(tmp_path)
    nothing = np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    monkeypatch.setattr("pixelwise.datasets.splitting.duplicates.find_near_pairs", lambda descriptors, upright: nothing)
    dataset = detect_dataset(tmp_path, DataOptions(val_share=0.3))
    sides = [{case.name.split("_")[0] for case in dataset.splits[part]} for part in ("train", "val")]
    assert sides[0] & sides[1]


def test_groups_of_the_user(tmp_path: Path) -> None:
    for seed in range(12):
        save(tmp_path / f"images/p{seed // 3}_{seed}.png", image(seed))
        save(tmp_path / f"masks/p{seed // 3}_{seed}.png", mask(seed))
    dataset = detect_dataset(tmp_path, DataOptions(group_by=r"^(p\d)_", val_share=0.25))
    assert len({case.group for case in dataset.splits["val"]}) == 1
    assert len(dataset.splits["val"]) == 3


def test_validation_is_drawn_from_train_if_only_test_is_given(tmp_path: Path) -> None:
    pairs(tmp_path / "train", 10)
    pairs(tmp_path / "test", 2, first=20)
    dataset = detect_dataset(tmp_path)
    assert {part: len(dataset.splits[part]) for part in ("train", "val", "test")} == {"train": 8, "val": 2, "test": 2}
    assert any("2 of 10 training images, drawn with seed 0 (--val-share)" in t for t in dataset.messages)
    assert len({case.name for case in dataset.cases}) == 12


def test_many_near_pairs_across_given_splits_are_one_warning(tmp_path: Path) -> None:
    for part, noise in (("train", 0), ("val", 1)):
        for index in range(9):
            # two scenes: content shared by all images is removed
            picture = smooth(index % 2).copy()
            picture[index, index + noise] ^= 255
            save(tmp_path / part / f"images/f{index}.png", picture)
            save(tmp_path / part / f"masks/f{index}.png", mask(index, size=picture.shape))
    problems = [p for p in scan_dataset(tmp_path).problems if p.kind == "near duplicate across splits"]
    assert len(problems) == 1
    assert not problems[0].fatal
    assert "41 pairs" in problems[0].text, "5 x 5 of one scene and 4 x 4 of the other"
