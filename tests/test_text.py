"""Numbers agree with their nouns; commands can be pasted."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.text import command, pluralise


@pytest.mark.parametrize(
    ("count", "one", "text"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "patch", "2 patches"),
        (2, "class", "2 classes"),
        (2, "copy", "2 copies"),
        (2, "day", "2 days"),
        (1, "test image", "1 test image"),
        (31_030_658, "parameter", "31,030,658 parameters"),
    ],
)
def test_one_is_one_and_the_rest_are_several(count: int, one: str, text: str) -> None:
    assert pluralise(count, one) == text


def test_a_verb_agrees_too() -> None:
    assert pluralise(1, "image was", "images were") == "1 image was"
    assert pluralise(3, "image was", "images were") == "3 images were"


def test_a_command_keeps_paths_with_spaces_whole() -> None:
    assert command("train", Path("my cells"), "--resume") == "pixelwise train 'my cells' --resume"


@given(st.lists(st.text(min_size=1)))
def test_a_shell_reads_the_words_of_a_command_again(words: list[str]) -> None:
    assert shlex.split(command(*words)) == ["pixelwise", *words]
