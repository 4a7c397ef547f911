"""Progress reports: silent by default, messages and bars on standard error with `Console`."""

import numpy as np
import pytest

from pixelwise import progress
from pixelwise.progress import Console, Progress


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    quiet = Progress()
    quiet.message("a", "b")
    assert list(quiet.track([1, 2], "label", 2)) == [1, 2]
    assert capfd.readouterr() == ("", "")


def test_the_console_speaks_on_standard_error_and_takes_brackets_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    Console().message("a [b] c")
    assert capfd.readouterr() == ("", "a [b] c\n")


def test_a_bar_appears_only_when_the_work_takes_a_while(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(Console().track([1, 2], "short work", 2)) == [1, 2]
    assert "short work" not in capfd.readouterr().err
    monkeypatch.setattr(progress, "BAR_DELAY", -1.0)
    assert list(Console().track([1, 2], "long work", 2)) == [1, 2]
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "long work: done in 0 s.\n"


def test_where_there_is_no_terminal_a_sentence_says_how_far_the_work_came(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BAR_DELAY", -1.0)
    with Console().bar("work", 4) as advance:
        advance(1, "step 1/4   loss 0.5 ")
    assert capfd.readouterr().err == "work: 25% done in 0 s (step 1/4 loss 0.5).\n"


def test_a_terminal_shows_a_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "BAR_DELAY", -1.0)
    assert list(Console().track([1, 2], "long work", 2)) == [1, 2]
    err = capfd.readouterr().err
    assert "long work" in err
    assert "100%" in err


def test_codes_of_a_terminal_in_names_are_shown_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    Console().message("left out: a\x1b[31m\u202e\udcff.png\nb")
    assert capfd.readouterr().err == "left out: a\\x1b[31m\\u202e\\udcff.png\nb\n"


def test_a_terminal_shows_a_picture_in_half_blocks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((3, 4, 400), np.uint8)
    pixels[:, 0], pixels[:, 1] = 200, 7
    Console().picture(pixels, "a caption")
    assert capfd.readouterr().err == "", "there is no terminal"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLUMNS", "100")
    Console().picture(pixels, "a caption")
    err = capfd.readouterr().err
    assert "a caption" in err
    thin = -(-400 // min(progress.PICTURE_WIDTH, 100))
    rows = -(-4 // thin) // 2
    assert err.count("\u2580") == rows * -(-400 // thin), "two rows of pixels in each row of letters"
