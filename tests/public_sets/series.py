"""Imitations of sets of videos and slices: a folder per sequence, frames of animated pictures, DICOM with masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import save
from drawn_volumes import save_dicom
from public_sets.drawing import Draw, Truth, areas, cells, code, picture, text

CHOLEC = {0: (127, 127, 127), 1: (210, 140, 140), 2: (255, 114, 114), 3: (231, 70, 156)}


def cholec(folder: Path) -> Truth:
    """CholecSeg8k (Hong et al. 2020): three codings of each mask beside each frame."""
    labels = {}
    for video in (1, 9, 12):
        for index in range(80, 83):
            drawn = areas(10 * video + index, 3)
            name = f"video{video:02}/video{video:02}_00080/frame_{index}_endo"
            save(folder / f"{name}.png", picture(drawn, 10 * video + index))
            save(folder / f"{name}_color_mask.png", code(drawn, CHOLEC))
            gray = code(drawn, {0: 50, 1: 11, 2: 12, 3: 21})
            save(folder / f"{name}_mask.png", np.dstack([gray] * 3))
            save(folder / f"{name}_watershed_mask.png", np.dstack([code(drawn, {0: 255, 1: 11, 2: 12, 3: 21})] * 3))
            labels[f"{name}.png"] = drawn
    return Truth(task="multiclass", labels=labels, options={"masks": "_color_mask", "task": "multiclass"})


def endovis(folder: Path) -> Truth:
    """EndoVis 2018 scenes (Allan et al. 2020): a folder per sequence, colours with a table in JSON."""
    colours = {0: (0, 0, 0), 1: (0, 255, 0), 2: (0, 255, 255), 3: (125, 255, 12)}
    names = ["background-tissue", "instrument-shaft", "instrument-clasper", "instrument-wrist"]
    labels = {}
    for sequence in (1, 2, 3):
        for index in range(3):
            drawn, place = areas(10 * sequence + index, 3), f"seq_{sequence}"
            save(folder / f"{place}/left_frames/frame{index:03}.png", picture(drawn, 10 * sequence + index))
            save(folder / f"{place}/labels/frame{index:03}.png", code(drawn, colours))
            text(f"{place}/camera_calibration.txt", "1\n")(folder)
            labels[f"{place}/left_frames/frame{index:03}.png"] = drawn
    rows = ", ".join(
        f'{{"name": "{name}", "classid": {number}, "color": {list(colours[number])}}}'
        for number, name in enumerate(names)
    )
    text("labels.json", f"[{rows}]")(folder)
    return Truth(task="multiclass", labels=labels, names=("instrument-shaft", "instrument-wrist"))


def sun_seg(folder: Path) -> Truth:
    """SUN-SEG (Ji et al. 2022): trees of frames and of masks with a folder per case."""
    labels = {}
    for case in (1, 2, 5, 7):
        for index in range(3):
            drawn, name = areas(10 * case + index), f"case{case}_{index}/case_M_2018_{index:04}"
            save(folder / f"TrainDataset/Frame/{name}.jpg", picture(drawn, 10 * case + index))
            save(folder / f"TrainDataset/GT/{name}.png", 255 * drawn.astype(np.uint8))
            save(
                folder / f"TrainDataset/Edge/{name}.png",
                255 * (np.diff(drawn, axis=0, prepend=0) != 0).astype(np.uint8),
            )
            labels[f"TrainDataset/Frame/{name}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def youtube_vos(folder: Path) -> Truth:
    """YouTube-VOS (Xu et al. 2018): palette masks of every fifth frame alone."""
    labels = {}
    palette = [0, 0, 0, 236, 95, 103, 249, 145, 87, 250, 200, 99] + [0] * 756
    for video in ("003234408d", "0043f083b5", "0044fa5fba"):
        for index in range(0, 20, 5):
            drawn = cells(index + len(labels), 2)
            save(folder / f"train/JPEGImages/{video}/{index:05}.jpg", picture(drawn > 0, index + len(labels)))
            shown = Image.fromarray(drawn.astype(np.uint8), "L").convert("P")
            shown.putpalette(palette)
            (folder / f"train/Annotations/{video}").mkdir(parents=True, exist_ok=True)
            shown.putdata(drawn.ravel().tolist())
            shown.save(folder / f"train/Annotations/{video}/{index:05}.png")
            labels[f"train/JPEGImages/{video}/{index:05}.jpg"] = drawn
    text("train/meta.json", '{"videos": {}}')(folder)
    return Truth(task="instance", labels=labels, options={"task": "instance"})


def cell_tracking(folder: Path) -> Truth:
    """Fluo-N2DH-GOWT1 (Maška et al. 2014): sequences, few frames with gold truth."""
    labels = {}
    for sequence in ("01", "02"):
        for index in range(4):
            drawn = cells(index + 10 * int(sequence))
            save(folder / f"{sequence}/t{index:03}.tif", picture(drawn > 0, index + 10 * int(sequence), 1))
            if index != 2:
                save(folder / f"{sequence}_GT/SEG/man_seg{index:03}.tif", drawn.astype(np.uint16))
                labels[f"{sequence}/t{index:03}.tif"] = drawn
            save(folder / f"{sequence}_GT/TRA/man_track{index:03}.tif", drawn.astype(np.uint16))
        text(f"{sequence}_GT/TRA/man_track.txt", "1 0 3 0\n")(folder)
    return Truth(task="instance", labels=labels)


def movie(path: Path, frames: list[np.ndarray], **options: object) -> None:
    """Write an animated picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=others, **options)


def animated(ending: str, masks: str, **options: object) -> Draw:
    """Animated pictures, and masks as animated pictures or as a folder of frames."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for video in ("a", "b", "c"):
            drawn = [areas(10 * ord(video) + index) for index in range(4)]
            movie(
                folder / f"videos/{video}{ending}", [picture(d, i + ord(video)) for i, d in enumerate(drawn)], **options
            )
            white = [255 * d.astype(np.uint8) for d in drawn]
            if masks == "folder":
                for index, mask in enumerate(white):
                    save(folder / f"masks/{video}/{index:04}.png", mask)
            else:
                movie(folder / f"masks/{video}{masks}", white, lossless=True)
            labels |= {f"videos/{video}{ending}/{index}": d for index, d in enumerate(drawn)}
        return Truth(task="binary", labels=labels)

    return draw


def filmed(images: str, masks: str, codec: str, lossless: str = "FFV1", every: int = 1) -> Draw:
    """Videos of three recordings, and masks as videos or as a folder of frames, of which some may be missing."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for place, name in enumerate(("mouse 1", "mouse 2", "mouse 3")):
            drawn = [areas(10 * place + index) for index in range(6)]
            shown = [picture(d, index + 10 * place) for index, d in enumerate(drawn)]
            write_video(folder / images.format(name), shown, codec)
            white = [np.dstack([255 * d.astype(np.uint8)] * 3) for d in drawn]
            for index in range(0, 6, every):
                labels[f"{images.format(name)}/{index}"] = drawn[index]
            if "{1" in masks:
                for index in range(0, 6, every):
                    save(folder / masks.format(name, index), white[index])
            else:
                write_video(folder / masks.format(name), white, lossless)
        return Truth(task="binary", labels=labels)

    return draw


def write_video(path: Path, frames: list[np.ndarray], codec: str) -> None:
    """Write a video with OpenCV."""
    cv2 = pytest.importorskip("cv2")
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10.0, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def chaos(folder: Path) -> None:
    """CHAOS (Kavur et al. 2021): DICOM slices, and the masks as PNG per slice."""
    for patient in (1, 2, 5):
        place = folder / f"Train_Sets/CT/{patient}"
        volume = np.stack([picture(areas(10 * patient + index), index, 1) for index in range(4)]).astype(np.int16)
        save_dicom(place / "DICOM_anon", volume, np.diag([1.0, 1.0, 3.0, 1.0]))
        for index in range(4):
            save(place / f"Ground/liver_GT_{index:03}.png", 255 * areas(10 * patient + index).astype(np.uint8))


SETS: dict[str, Draw] = {
    "CholecSeg8k": cholec,
    "EndoVis": endovis,
    "SUN-SEG": sun_seg,
    "YouTube-VOS": youtube_vos,
    "Cell Tracking Challenge": cell_tracking,
    "animated GIF": animated(".gif", "folder"),
    "APNG": animated(".png", "folder"),
    "animated WebP": animated(".webp", ".webp", lossless=True),
    "lossless videos": filmed("videos/{0}.avi", "masks/{0}.avi", "FFV1"),
    "videos and frames of masks": filmed("videos/{0}.mp4", "masks/{0}/{1:04}.png", "mp4v"),
    "videos with masks of some frames": filmed("{0}.avi", "{0}_masks/frame_{1:04}.png", "MJPG", every=2),
    "videos in MP4": filmed("videos/{0}.mp4", "labels/{0}_mask.mp4", "mp4v", "mp4v"),
}
