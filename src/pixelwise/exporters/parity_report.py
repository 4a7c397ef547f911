"""The certificate of an export: what it says on real images, beside what torch says, as files; numpy alone.

Beside `model.onnx` lie `model.onnx.parity_report.json`, which people read, and `model.onnx.proof.npz` with the images
and torch's logits, so that the proof can be repeated on any machine, without the run and without torch.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write, atomic_write_json
from pixelwise.errors import BadModel
from pixelwise.exporters.comparison import Comparison
from pixelwise.exporters.description import Limits
from pixelwise.exporters.samples import ParityBatch

BLOCK = 2**20


def parity_report_path(path: Path) -> Path:
    """Return where the certificate of an exported file lies."""
    return path.with_name(f"{path.name}.certificate.json")


def parity_data_path(path: Path) -> Path:
    """Return where the images of the proof lie."""
    return path.with_name(f"{path.name}.proof.npz")


def write_parity_data(path: Path, trials: Sequence[ParityBatch]) -> None:
    """Write the images and torch's logits for the export at `path`."""
    arrays = {f"{name}_{index}": value for index, trial in enumerate(trials) for name, value in _parts(trial).items()}
    atomic_write(parity_data_path(path), lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def read_parity_data(path: Path) -> list[ParityBatch]:
    """Read the trials that lie beside the export at `path`.

    Raises
    ------
    BadModel
        They are missing or damaged.
    """
    place = parity_data_path(path)
    try:
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as arrays:
            count = len(arrays.files) // len(ParityBatch._fields)
            return [ParityBatch(*(arrays[f"{name}_{index}"] for name in ParityBatch._fields)) for index in range(count)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        hint = "Export the run again, and copy all files of the export together."
        raise BadModel(f"the images of the proof in {place.name}", "none that can be read", hint, path) from error


def write_parity_report(
    path: Path,
    kind: str,
    files: Mapping[str, Path],
    comparisons: Sequence[Comparison],
    limits: Limits,
    trials: Sequence[ParityBatch],
    versions: Mapping[str, str],
) -> None:
    """Write the certificate of the export at `path`; `files` are its files by name, wherever they lie now."""
    parity_report = {
        "file": path.name,
        "format": kind,
        "sha256": {name: digest(place) for name, place in files.items()},
        "proof_sha256": digest(parity_data_path(path)),
        "reference": "torch, float32, batch normalisation folded",
        "trials": [list(trial.image.shape) for trial in trials],
        "limits": asdict(limits),
        "results": [asdict(comparison) for comparison in comparisons],
        "versions": dict(versions),
    }
    atomic_write_json(parity_report_path(path), parity_report)


def read_parity_report(path: Path) -> dict[str, Any]:
    """Read the certificate of the export at `path`, and check that its files are the certified ones.

    Raises
    ------
    BadModel
        There is none, it is damaged, or a file has changed since.
    """
    hint = "Export the run again, and copy all files of the export together."
    try:
        parity_report = json.loads(parity_report_path(path).read_text("utf-8"))
        digests, proof = dict(parity_report["sha256"]), str(parity_report["proof_sha256"])
        Limits(**parity_report["limits"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = f"its certificate in {parity_report_path(path).name}"
        raise BadModel(expected, "none that can be read", hint, path) from error
    found = {path.with_name(Path(name).name): value for name, value in digests.items()} | {
        parity_data_path(path): proof
    }
    for place, expected in found.items():
        if not place.is_file() or digest(place) != expected:
            got = "another one, or a damaged one" if place.is_file() else "none"
            raise BadModel(f"the certified {place.name}", got, hint, path)
    return parity_report


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
    return whole.hexdigest()


def _parts(trial: ParityBatch) -> dict[str, np.ndarray]:
    return trial._asdict()
