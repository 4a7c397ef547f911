"""Pictures of the report: errors by colour, thumbnails, the snapshots."""

from io import BytesIO

import numpy as np
from PIL import Image

from pixelwise.workflow.reporting.pictures import (
    CONFUSED,
    CORRECT,
    FALSE_POSITIVE,
    MISSED,
    SNAPSHOT_BYTES,
    class_errors,
    object_errors,
    shrink,
    snapshot_gif,
)


def expect(painted: np.ndarray, tones: list[tuple[int, int, int] | None]) -> None:
    assert np.abs(painted[0] - 0.65 * np.array([tone or (0, 0, 0) for tone in tones])).max() <= 1


def test_snapshots_of_noise_are_thinned_out_to_their_size() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 256, 780, 3), np.uint8)
    content = snapshot_gif(list(noise), most=SNAPSHOT_BYTES // 4)
    whole = snapshot_gif(list(noise), most=10**9)
    assert len(content) <= SNAPSHOT_BYTES // 4 < len(whole)  # the control: without a limit it is larger
    shown = Image.open(BytesIO(content))
    shown.seek(getattr(shown, "n_frames", 1) - 1)
    last = np.asarray(shown.convert("RGB"), np.float64)
    assert np.corrcoef(last.ravel(), noise[-1].ravel())[0, 1] > 0.9


def test_errors_are_painted_by_kind() -> None:
    truth = np.array([[0, 1, 1, 0, 1, 255]])
    predicted = np.array([[0, 1, 0, 1, 2, 1]])
    painted = class_errors(np.zeros((1, 6, 3), np.uint8), truth, predicted, background=True)
    expect(painted, [None, CORRECT, MISSED, FALSE_POSITIVE, CONFUSED, None])
    painted = class_errors(np.zeros((1, 6, 3), np.uint8), truth, predicted, background=False)
    expect(painted, [CORRECT, CORRECT, CONFUSED, CONFUSED, CONFUSED, None])


def test_merged_objects_are_no_green_objects() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3, 3, -1, 0]])
    predicted = np.array([[7, 7, 7, 0, 0, 5, 5, 5, 5, 5, 5, 4]])
    painted = object_errors(np.zeros((1, 12, 3), np.uint8), truth, predicted)
    # 7 and 1 share 3 of 4 pixels; 5 covers both 2 and 3 and shares 2 of 5 with each
    merged = [CONFUSED, CONFUSED, FALSE_POSITIVE, CONFUSED, CONFUSED]
    expect(painted, [CORRECT, CORRECT, CORRECT, MISSED, None, *merged, None, FALSE_POSITIVE])


def test_shrinking_averages_and_keeps_small_pictures() -> None:
    small = np.full((40, 50, 3), 9, np.uint8)
    assert shrink(small) is small
    stripes = np.zeros((641, 700, 3), np.uint8)
    stripes[:, ::3] = 240  # thinner than a block: thinning out would lose it or show nothing else
    thinned = shrink(stripes)
    assert thinned.shape == (214, 234, 3)
    assert set(np.unique(thinned[:, :-1])) == {80}
