"""Files that a program made are left out, unless they are all there is."""

from pathlib import Path

import pytest

from pixelwise.datasets.naming.outputs import find_derived, find_outputs


def names(found: dict[str, list[Path]]) -> list[str]:
    return [path.name for paths in found.values() for path in paths]


@pytest.mark.parametrize(
    "output",
    ["0_flows.tif", "0_cp_output.png", "0_outlines.png", "0-overlay.jpg", "0_thumb.jpg", "thumb_0.jpg", "0_vis.png"],
)
def test_outputs_beside_their_image(output: str) -> None:
    files = [Path(name) for name in ("0.png", "0_cp_masks.png", output)]
    assert names(find_outputs(files)) == [output]
    assert names(find_outputs(files[2:])) == [], "control: without the image it may be an image"


def test_intermediate_results_that_end_like_masks() -> None:
    files = [Path(f"0{end}") for end in (".tif", "_cp_masks.tif", "_flows_cp_masks.tif", "_cellprob_cp_masks.tif")]
    assert names(find_outputs(files)) == ["0_flows_cp_masks.tif", "0_cellprob_cp_masks.tif"]


def test_what_the_user_names_is_kept() -> None:
    files = [Path("0.png"), Path("0_outlines.png")]
    assert find_outputs(files, ["_outlines"]) == {}


@pytest.mark.parametrize("suffix", ["_superpixels", "-color", ".depth", " copy"])
def test_files_made_from_most_files_in_a_pair(suffix: str) -> None:
    paired = [Path(f"{index}.jpg") for index in range(4)]
    files = [Path(f"{index}{suffix}.png") for index in range(3)]
    assert list(find_derived(files, paired).values()) == [files]
    assert find_derived(files[:2], paired) == {}, "of less than most: single files"


@pytest.mark.parametrize("suffix", ["_2", "b", "_b", "_w2"])
def test_other_images_are_not_taken_for_files_made_from_images(suffix: str) -> None:
    paired = [Path(f"{index}.jpg") for index in range(4)]
    assert find_derived([Path(f"{index}{suffix}.jpg") for index in range(4)], paired) == {}
