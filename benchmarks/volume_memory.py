"""Peak memory of `pixelwise predict` on a volume larger than its tiles, and its result after two kills.

    python benchmarks/volume_memory.py [--size 512,512,512] [--base 16] [--depth 3] [--model MODEL] [--kills 2]

The volume is drawn slab by slab into an OME-Zarr folder. It is predicted once without interruption, and once more with
kills at equal fractions of the tiles; both results must be equal byte for byte. A model with random weights is as large
and as fast as a trained one. Volumes below 100 million voxels are not streamed. 512 x 512 x 512 voxels have 27 times as
many as the volume of `volume_speed.py`, and are predicted twice: about five minutes on two idle cores.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from volume_speed import draw_model, make_volume

from pixelwise.io.zarr import zarr_library

SLAB = 32  # planes that are drawn at once
PATIENCE = 0.5  # seconds between looks at the journal


def main() -> None:
    """Draw, predict, kill, predict again, and print a row for each process."""
    given = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_volume(folder / "volume.zarr", given.size)
        model = given.model or write_model(folder / "model.safetensors", given)
        print(f"{' x '.join(map(str, given.size))} voxels; limit of the bar: 1,500 MB")
        total = predict(model, folder, "whole")
        for number in range(1, given.kills + 1):
            predict(model, folder, "killed", stop=total * number // (given.kills + 1))
        predict(model, folder, "killed")
        equal = same_bytes(folder / "whole" / "volume.ome.zarr", folder / "killed" / "volume.ome.zarr")
        print(f"after {given.kills} kills the result is {'equal' if equal else 'NOT EQUAL'}, byte for byte")
    if not equal:
        raise SystemExit(1)


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split(","))), default=(512, 512, 512))
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a model of volumes of one channel instead of drawn weights")
    parser.add_argument("--kills", type=int, default=2)
    return parser.parse_args()


def write_volume(path: Path, size: tuple[int, ...]) -> None:
    """Draw a volume into an OME-Zarr folder."""
    zarr = zarr_library()
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    array = group.create_array("0", shape=size, dtype="uint8", chunks=(64, 64, 64))
    for first in range(0, size[0], SLAB):
        planes = min(SLAB, size[0] - first)
        array[first : first + planes] = make_volume((planes, *size[1:]))[0]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    transforms = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def write_model(path: Path, given: argparse.Namespace) -> Path:
    """Write a model with drawn weights."""
    from pixelwise.model_file.model_file import save_model

    save_model(path, *draw_model(given, make_volume((64, 96, 96))))
    return path


def predict(model: Path, folder: Path, out: str, stop: int | None = None) -> int:
    """Predict in a process of its own, print its memory, and return the number of lines of its journal.

    With `stop` the process is killed when its journal has so many lines.
    """
    command = [sys.executable, "-m", "pixelwise", "predict", str(model), str(folder / "volume.zarr")]
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    begun, lines = time.monotonic(), 0
    process = subprocess.Popen([*command, "--out", str(folder / out)], env=environment, stderr=subprocess.DEVNULL)
    journal = folder / out / ".volume.ome.zarr.decided.journal"
    peak = 0
    while process.poll() is None:
        time.sleep(PATIENCE)
        peak = max(peak, peak_of(process.pid))
        lines = max(lines, count_lines(journal))
        if stop is not None and lines >= stop:
            process.send_signal(signal.SIGKILL)
            process.wait()
    seconds = time.monotonic() - begun
    if process.returncode != (0 if stop is None else -signal.SIGKILL):
        raise SystemExit(f"predict ended with {process.returncode}")
    what = "finished" if stop is None else "killed"
    print(f"{what:9s}{seconds:8.0f} s {peak / 1e6:8.0f} MB  {lines} lines of the journal", flush=True)
    return lines


def peak_of(process: int) -> int:
    """Return the most memory that a process has held, in bytes; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def count_lines(path: Path) -> int:
    """Return the number of lines of a file; 0 if it is missing."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def same_bytes(one: Path, other: Path) -> bool:
    """Return whether two folders have the same files with the same contents."""
    names = [sorted(file.relative_to(root) for file in root.rglob("*") if file.is_file()) for root in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


if __name__ == "__main__":
    main()
