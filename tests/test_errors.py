"""Errors state what was expected, what was found, and a hint, on one line."""

import pickle

from pixelwise.errors import BadImage, BadOption, Interrupted, PixelwiseError, nearest, printable


def test_the_three_parts_and_the_path_stand_on_one_line() -> None:
    error = BadImage("an image", "an empty file", "Copy it again.", "a\nb.png")
    assert str(error) == "a\\nb.png: expected an image; got an empty file. Copy it again."
    assert isinstance(error, PixelwiseError)
    assert error.exit_code == 2


def test_an_error_survives_the_trip_between_processes() -> None:
    error = BadOption("x", "y", "z", "p")
    again = pickle.loads(pickle.dumps(error))  # what multiprocessing does with it
    assert (type(again), str(again)) == (BadOption, str(error))


def test_the_nearest_known_word_is_named() -> None:
    assert nearest("depht", ["depth", "base"]) == "Did you mean `depth`? Known: depth, base."
    assert nearest("zzz", ["depth"]) == "Known: depth."


def test_bytes_that_are_not_utf8_can_be_shown() -> None:
    assert printable(b"a\xff.png".decode("utf-8", "surrogateescape")) == "a\\udcff.png"


def test_a_stop_is_told_as_none() -> None:
    """What the user asked for is no failed expectation."""
    error = Interrupted("40 steps", "12 of 40 steps are done", "Continue with: pixelwise train.", "run")
    assert str(error) == "run: 12 of 40 steps are done. Continue with: pixelwise train."
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (Interrupted, str(error))
