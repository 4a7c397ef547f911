"""How images of a set are read: orientation, alpha that is data, bands on the last axis, pixels without data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from drawn import save
from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.errors import BadDataset
from pixelwise.io.headers import apply_orientation
from pixelwise.sampling.fingerprint import measure_fingerprint
from read_masks import discs, photo

COUNT = 5
ORIENTATIONS = [2, 3, 4, 5, 6, 7, 8]


def write(
    folder: Path, write_image: Callable[[int, np.ndarray], None], size: tuple[int, int], count: int = COUNT
) -> Path:
    """Write images with the given function, and their masks as PNG."""
    for seed in range(count):
        drawn = discs(seed, size=size)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_image(seed, photo(drawn, seed))
        save(folder / f"masks/{seed}.png", (255 * (drawn > 0)).astype(np.uint8))
    return folder


def read(folder: Path, **options: object) -> Dataset:
    dataset = scan_dataset(folder, DataOptions(**options))
    assert not [problem for problem in dataset.problems if problem.fatal], dataset.problems
    return dataset


def contrast(dataset: Dataset, channel: int = -1) -> float:
    """Return the smallest difference of brightness between foreground and background over all cases."""
    read_cases = [dataset.read(case) for case in dataset.cases]
    return min(
        float(example.image[channel][example.labels == 1].mean() - example.image[channel][example.labels == 0].mean())
        for example in read_cases
    )


def with_exif(
    folder: Path, orientation: Callable[[int], int], *, turned: bool = False
) -> Callable[[int, np.ndarray], None]:
    """Write images as JPEG with an orientation; `turned`: so that they are upright when it is applied."""
    inverse = {6: 8, 8: 6}

    def write_image(seed: int, pixels: np.ndarray) -> None:
        value = orientation(seed)
        stored = apply_orientation(pixels[None], inverse.get(value, value))[0] if turned else pixels
        exif = Image.Exif()
        exif[0x0112] = value
        Image.fromarray(stored).save(folder / f"images/{seed}.jpg", quality=95, exif=exif.tobytes())

    return write_image


class TestOrientation:
    """The EXIF orientation of images whose masks were drawn on the stored or on the upright pixels."""

    @pytest.mark.parametrize("size", [(72, 72), (72, 90)])
    @pytest.mark.parametrize("some", [1, 2])
    def test_masks_on_stored_pixels(self, tmp_path: Path, size: tuple[int, int], some: int) -> None:
        write(tmp_path, with_exif(tmp_path, lambda seed: ORIENTATIONS[seed] if seed % some == 0 else 1), size)
        dataset = read(tmp_path)
        assert dataset.reading.exif == "ignore"
        assert any("EXIF" in text and "--exif" in text for text in dataset.messages)
        assert contrast(dataset) > 80
        if size[0] == size[1]:  # control: with the orientation applied, images and masks do not agree
            assert contrast(read(tmp_path, exif="apply")) < 40

    @pytest.mark.parametrize("size", [(72, 72), (72, 90)])
    def test_masks_on_upright_pixels(self, tmp_path: Path, size: tuple[int, int]) -> None:
        write(tmp_path, with_exif(tmp_path, lambda seed: ORIENTATIONS[seed], turned=True), size)
        dataset = read(tmp_path)
        assert dataset.reading.exif == "apply"
        assert contrast(dataset) > 80


class TestAlpha:
    """A last channel that files declare as alpha."""

    @pytest.mark.parametrize("planar", [False, True])
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    def test_data_stay_a_channel(self, tmp_path: Path, planar: bool, kind: type) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            noise = np.random.default_rng(seed).integers(0, 256, (3, *pixels.shape))
            channels = np.stack([*noise, pixels]).astype(kind) * (257 if kind is np.uint16 else 1)
            array = channels if planar else np.moveaxis(channels, 0, -1)
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", array, photometric="rgb", extrasamples=["unassalpha"],
                             planarconfig="separate" if planar else "contig")  # fmt: skip

        dataset = read(write(tmp_path, write_image, (72, 84)))
        assert dataset.channels == 4
        assert contrast(dataset) > 80
        assert any("channel 4" in text and "--alpha" in text for text in dataset.messages)
        assert read(tmp_path, alpha="drop").channels == 3

    @pytest.mark.parametrize("soft", [False, True])
    def test_transparency_is_dropped(self, tmp_path: Path, soft: bool) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            alpha = np.full(pixels.shape, 255, np.uint8)
            alpha[:10] = 0
            alpha[10] = 128 if soft else 255
            save(tmp_path / f"images/{seed}.png", np.dstack([pixels, pixels, pixels, alpha]))

        dataset = read(write(tmp_path, write_image, (72, 84)))
        assert dataset.channels == 3
        assert read(tmp_path, alpha="keep").channels == 4

    @pytest.mark.parametrize("values", [(0, 1), (20, 220), (0, 255)])
    def test_the_mask_is_no_channel(self, tmp_path: Path, values: tuple[int, int]) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            alpha = np.array(values, np.uint8)[(discs(seed, size=(72, 84)) > 0).astype(int)]
            alpha[0, 0] = 7 if seed == other else alpha[0, 0]
            save(tmp_path / f"images/{seed}.png", np.dstack([pixels, pixels, pixels, alpha]))

        other = -1
        dataset = read(write(tmp_path, write_image, (72, 84)))
        assert dataset.channels == 3
        assert any("is the mask" in text and "--alpha" in text for text in dataset.messages)
        assert read(tmp_path, alpha="keep").channels == 4
        other = 2  # control: one pixel differs
        dataset = read(write(tmp_path, write_image, (72, 84)))
        assert not any(f"{COUNT} images is the mask" in text for text in dataset.messages)


class TestBandsLast:
    """Stacks that were saved as (height, width, bands)."""

    @pytest.mark.parametrize(("bands", "kind"), [(13, np.uint16), (5, np.float32), (8, np.uint8)])
    def test_bands_that_fit_the_masks(self, tmp_path: Path, bands: int, kind: type) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            stack = np.stack([pixels.astype(kind)] * bands, axis=-1)
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", stack, photometric="minisblack")

        dataset = read(write(tmp_path, write_image, (72, 84)))
        assert dataset.channels == bands
        assert contrast(dataset) > 80
        assert any("bands" in text for text in dataset.messages)

    def test_bands_that_do_not_fit_are_refused_by_their_axis(self, tmp_path: Path) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            stack = np.stack([pixels[:60]] * 13, axis=-1)
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", stack, photometric="minisblack")

        problems = scan_dataset(write(tmp_path, write_image, (72, 84))).problems
        assert all(
            "last axis" in problem.text and "--pages" not in problem.text for problem in problems if problem.fatal
        )
        assert len(problems) == COUNT

    def test_pages_are_pages(self, tmp_path: Path) -> None:
        # the control: a stack of three pages of the size of the mask
        def write_image(seed: int, pixels: np.ndarray) -> None:
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", np.stack([pixels] * 3), photometric="minisblack")

        problems = scan_dataset(write(tmp_path, write_image, (72, 84))).problems
        assert all("--pages 3" in problem.text for problem in problems if problem.fatal)
        assert read(tmp_path, pages=3).channels == 3


def nodata(value: float) -> tuple[object, ...]:
    return (42113, "s", 0, f"{value:g}", True)


def test_the_orientation_of_masks_is_checked(tmp_path: Path) -> None:
    """A program rewrote the masks upright and kept their EXIF record; the square images have none."""

    def write_image(seed: int, pixels: np.ndarray) -> None:
        Image.fromarray(pixels).save(tmp_path / f"images/{seed}.png")

    write(tmp_path, write_image, (72, 72))
    for seed in range(COUNT):
        path, exif = tmp_path / f"masks/{seed}.png", Image.Exif()
        exif[0x0112] = ORIENTATIONS[seed]
        mask = Image.open(path)
        mask.load()
        mask.save(path, exif=exif)
    dataset = read(tmp_path)
    assert any("--exif" in text for text in dataset.messages)
    assert contrast(dataset) > 90
    # control: turned, the masks do not lie on the objects
    assert contrast(read(tmp_path, exif="apply")) < 90


class TestMissing:
    """Pixels without data."""

    @pytest.mark.parametrize(
        ("value", "kind"),
        [(-9999.0, np.float32), (np.nan, np.float32), (0.0, np.uint8), (65535.0, np.uint16), (-32768.0, np.int16),
         (-3.4028234663852886e38, np.float32)],
    )  # fmt: skip
    @pytest.mark.parametrize("some", [1, 2])
    def test_they_are_left_out(self, tmp_path: Path, value: float, kind: type, some: int) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            stored = (pixels.astype(np.float64) + 1).clip(1, 255).astype(kind)
            if seed % some == 0:
                stored[:, :30] = value
            tag = nodata(float(kind(value)))
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", stored, extratags=[tag], metadata=None)

        dataset = read(write(tmp_path, write_image, (72, 84)))
        assert any("nodata" in text for text in dataset.messages)
        for case in dataset.cases:
            example = dataset.read(case)
            ignored = example.labels == 255
            assert ignored[:, :30].all() == (int(case.name) % some == 0)
            assert not ignored[:, 30:].any()
        fingerprint = measure_fingerprint(dataset)
        assert 1 <= fingerprint.intensity_range[0][0] < fingerprint.intensity_mean[0] < 256
        assert fingerprint.ignored_share > 0.1
        assert fingerprint.dtype == np.dtype(kind).name

    @pytest.mark.parametrize(
        ("value", "kind"), [(-9999, np.float32), (-32768, np.int16), (-3.4028234663852886e38, np.float32)]
    )
    def test_without_a_tag_they_are_reported(self, tmp_path: Path, value: float, kind: type) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            stored = pixels.astype(kind)
            stored[:, 2 * seed : 30] = value
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", stored)

        (text,) = [text for text in read(write(tmp_path, write_image, (72, 84))).messages if "--nodata" in text]
        flag = text.rpartition("--nodata=")[2].rstrip(".")
        dataset = read(tmp_path, nodata=flag)  # the flag that the message names works
        for case in dataset.cases:
            assert (dataset.read_labelled(case)[1][:, 2 * int(case.name) : 30] == 255).all()

    def test_low_values_are_measurements(self, tmp_path: Path) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            stored = pixels.astype(np.float32) * 80 - 9999
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", np.where(np.arange(84) < 3, -9999, stored))

        assert not any("--nodata" in text for text in read(write(tmp_path, write_image, (72, 84))).messages)

    def test_nan_needs_a_declaration(self, tmp_path: Path) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            stored = np.where(np.arange(84) < 20, np.nan, pixels).astype(np.float32)
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", stored)

        problems = scan_dataset(write(tmp_path, write_image, (72, 84))).problems
        assert all("--nodata nan" in problem.text for problem in problems if problem.fatal)
        dataset = read(tmp_path, nodata="nan")
        assert (dataset.read_labelled(dataset.cases[0])[1][:, :20] == 255).all()

    def test_black_is_a_colour_unless_all_channels_are_missing(self, tmp_path: Path) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            colours = np.dstack([pixels, np.zeros_like(pixels), pixels])
            colours[:, :20] = 0
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", colours, photometric="rgb")

        dataset = read(write(tmp_path, write_image, (72, 84)), nodata="0")
        assert (dataset.read_labelled(dataset.cases[0])[1][:, :20] == 255).all()
        assert not (dataset.read_labelled(dataset.cases[0])[1][:, 20:] == 255).any()

    def test_the_tag_can_be_overridden(self, tmp_path: Path) -> None:
        def write_image(seed: int, pixels: np.ndarray) -> None:
            tifffile.imwrite(tmp_path / f"images/{seed}.tif", pixels // 64 * 64, extratags=[nodata(0)], metadata=None)

        dataset = read(write(tmp_path, write_image, (72, 84)), nodata="none")
        assert not any((dataset.read(case).labels == 255).any() for case in dataset.cases)


MASKED = np.s_[:, :24]  # without data


class TestNaNInMasks:
    """Float masks with NaN."""

    @staticmethod
    def write_masks(folder: Path, values: Callable[[np.ndarray], np.ndarray], tags: object = ()) -> Path:
        """Write float masks; `values` maps the numbers of discs, 0 elsewhere."""
        for seed in range(COUNT):
            drawn = discs(seed, size=(72, 84))
            path = folder / f"masks/{seed}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, values(drawn).astype(np.float32), extratags=tags, metadata=None)
            save(folder / f"images/{seed}.png", photo(drawn, seed))
        return folder

    @staticmethod
    def without_data(drawn: np.ndarray) -> np.ndarray:
        stored = (drawn > 0).astype(np.float32)
        stored[MASKED] = np.nan
        return stored

    def test_it_needs_a_declaration(self, tmp_path: Path) -> None:
        folder = self.write_masks(tmp_path, self.without_data)
        found = scan_dataset(folder)
        fatal = [problem for problem in found.problems if problem.fatal]
        assert len(fatal) == COUNT
        assert all("NaN" in problem.text and "--nodata nan" in problem.hint for problem in fatal)
        assert not any("ignored" in text for text in found.messages), "what stops the training is not ignored"

    @pytest.mark.parametrize("task", ["auto", "instance"])
    @pytest.mark.parametrize("declared", ["flag", "tag"])
    def test_declared_pixels_are_ignored(self, tmp_path: Path, task: str, declared: str) -> None:
        tags = [nodata(np.nan)] if declared == "tag" else ()
        options = {"nodata": "nan"} if declared == "flag" else {}
        dataset = read(self.write_masks(tmp_path, self.without_data, tags), task=task, **options)
        assert dataset.labelling.task == ("binary" if task == "auto" else task)
        for case in dataset.cases:
            labels, drawn = dataset.read_labelled(case)[1], discs(int(case.name), size=(72, 84)) > 0
            assert (labels[MASKED] == (255 if task == "auto" else -1)).all()
            assert ((labels[:, 24:] > 0) == drawn[:, 24:]).all()
        assert any("NaN" in text and "--ignore-index" in text for text in dataset.messages)

    @pytest.mark.parametrize("task", ["binary", "instance"])
    def test_it_is_the_background_where_no_mask_contains_0(self, tmp_path: Path, task: str) -> None:
        def values(drawn: np.ndarray) -> np.ndarray:
            return np.where(drawn == 0, np.nan, drawn if task == "instance" else 1)

        dataset = read(self.write_masks(tmp_path, values), nodata="nan")
        assert dataset.labelling.task == task
        for case in dataset.cases:
            assert ((dataset.read_labelled(case)[1] > 0) == (discs(int(case.name), size=(72, 84)) > 0)).all()
        assert any("NaN" in text for text in dataset.messages)

    def test_of_classes_from_1_it_is_ignored(self, tmp_path: Path) -> None:
        dataset = read(
            self.write_masks(tmp_path, lambda drawn: np.where(drawn == 0, np.nan, 1 + (np.arange(84) > 41))),
            nodata="nan",
            task="multiclass",
        )
        for case in dataset.cases:
            assert ((dataset.read_labelled(case)[1] == 255) == (discs(int(case.name), size=(72, 84)) == 0)).all()

    def test_one_file_is_one_problem(self, tmp_path: Path) -> None:
        folder = self.write_masks(tmp_path, lambda drawn: drawn > 0)
        tifffile.imwrite(folder / "masks/0.tif", self.without_data(discs(0, size=(72, 84))))
        (problem,) = [problem for problem in scan_dataset(folder).problems if problem.fatal]
        assert "0.tif" in problem.text

    def test_beside_minus_one_it_is_ambiguous(self, tmp_path: Path) -> None:
        folder = self.write_masks(tmp_path, lambda drawn: np.where(drawn > 0, np.nan, -1.0))
        with pytest.raises(BadDataset, match="NaN and -1"):
            scan_dataset(folder, DataOptions(nodata="nan"))
