"""Empty, constant and copied masks, other values; and the measures of images."""

import numpy as np
import pytest

from pixelwise.datasets.checks.finding import KINDS, LEAVE_OUT, Finding, Step
from pixelwise.datasets.checks.mask_contents import (
    MaskContent,
    find_constant,
    find_copied,
    find_empty,
    find_other_values,
    rare_classes,
)
from pixelwise.datasets.checks.steps import apply_steps, refine_shift
from spots import spots


def content(name: str, counts: tuple[int, ...] = (90, 10), image: str = "") -> MaskContent:
    return MaskContent(digest=name, image_digest=image or name, counts=counts)


def test_a_few_empty_masks_stand_out_and_many_do_not() -> None:
    filled = [content(str(index)) for index in range(20)]
    assert [index for index, _, _ in find_empty([*filled, content("x", (100, 0))], None)] == [20]
    assert find_empty([*filled, *(content(f"x{i}", (100, 0)) for i in range(5))], None) == []


def test_a_few_constant_masks_stand_out_and_many_do_not() -> None:
    filled = [content(str(index)) for index in range(20)]
    assert find_constant([*filled, content("x", (0, 100))]) == [20]
    assert find_constant([*filled, *(content(f"x{i}", (0, 100)) for i in range(5))]) == []


def test_a_copied_mask_belongs_to_the_image_that_it_fits() -> None:
    contents = [content("a"), content("b"), content("a", image="c")]
    assert [index for index, _ in find_copied(contents, np.array([0.1, 0.9, 0.8]))] == [0]
    assert [index for index, _ in find_copied(contents, np.array([0.9, 0.9, 0.1]))] == [2]
    assert [index for index, _ in find_copied(contents, None)] == [0, 2]


def test_the_mask_of_a_copied_image_is_no_copied_mask() -> None:
    contents = [content("a", image="same"), content("a", image="same"), content("b")]
    assert find_copied(contents, np.array([0.9, 0.8, 0.7])) == []


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([{0, 255}] * 20 + [{0, 1}], (255, {20: 1})),
        ([{0, 1}] * 20 + [{0}, {0, 255}], (1, {21: 255})),
        ([{0, 1}, {0, 2}] * 10, None),  # two classes, one per image
        ([{0, 255}] * 20, None),
        ([{0, 1, 255}] * 20 + [{0, 1}], None),  # both in one mask: two classes
        ([{0, 255}] * 10 + [{0, 1}] * 10, None),  # as often as the other
    ],
)
def test_other_values_are_told_from_classes(sets: list[set[int]], expected: tuple[int, dict[int, int]] | None) -> None:
    assert find_other_values([frozenset(values) for values in sets]) == expected


def test_rare_classes() -> None:
    assert rare_classes([content("a", (99_900, 50, 50_000))], ("sky", "pole", "road"))[0][0] == "pole"


def test_steps_of_a_fix_act_on_values_and_on_colours() -> None:
    mask = np.arange(6).reshape(2, 3)
    double = Step(action="resize", size=(4, 6))
    assert np.array_equal(apply_steps(mask, [double])[::2, ::2], mask)
    colours = np.stack([mask] * 3, -1)
    moved = apply_steps(colours, [Step(action="shift", offset=(1, 0))], fill=9)
    assert moved.shape == (2, 3, 3)
    assert moved[0].tolist() == [[9] * 3] * 3
    assert np.array_equal(apply_steps(mask, LEAVE_OUT), mask)


def test_a_shift_is_refined_at_full_resolution() -> None:
    image, mask = spots(4)
    wrong = np.roll(mask, (5, -7), (0, 1))
    assert refine_shift(image[None], wrong, (-4, 6), 2) == (-5, 7)


def test_every_kind_has_a_severity_and_findings_become_json() -> None:
    for kind, (severity, text) in KINDS.items():
        found = Finding(kind=kind, files=("a.png",), text=text, steps=LEAVE_OUT)
        assert found.severity == severity
        assert found.to_json()["fix"] == [{"action": "leave out"}]
        assert found.fixable == (severity == "hard")
