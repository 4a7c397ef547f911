"""Parity report and parity data of an export as files, without torch.

`model.onnx.parity.json` is the parity report of `model.onnx`, and `model.onnx.parity.npz` the parity data, the
images and the logits of PyTorch, so that the parity check can be repeated on any machine, without the run and without
torch.
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
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.samples import ParityBatch
from pixelwise.runtimes.exported import model_files

BLOCK = 2**20
MAX_DATA = 8 * 2**30  # bytes of the parity data, unpacked
_HINT = "Export the run again, and copy all files of the export together."


def parity_report_path(path: Path) -> Path:
    """Return the path of the parity report of an exported file."""
    return path.with_name(f"{path.name}.parity.json")


def parity_data_path(path: Path) -> Path:
    """Return the path of the parity data of an exported file."""
    return path.with_name(f"{path.name}.parity.npz")


def write_parity_data(path: Path, batches: Sequence[ParityBatch]) -> None:
    """Write the images and the logits of PyTorch for the export at `path`."""
    arrays = {f"{name}_{i}": value for i, batch in enumerate(batches) for name, value in batch._asdict().items()}
    atomic_write(parity_data_path(path), lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def read_parity_data(path: Path) -> list[ParityBatch]:
    """Read the parity batches of the export at `path`.

    Raises
    ------
    BadModel
        The file is missing or damaged.
    """
    data_path = parity_data_path(path)
    try:
        with zipfile.ZipFile(data_path) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > MAX_DATA:
            raise ValueError(f"{size} bytes")
        with np.load(io.BytesIO(data_path.read_bytes()), allow_pickle=False) as arrays:
            count = len(arrays.files) // len(ParityBatch._fields)
            batches = [
                ParityBatch(*(arrays[f"{name}_{index}"] for name in ParityBatch._fields)) for index in range(count)
            ]
        _check_batches(batches)
    except Exception as error:  # what numpy and zlib raise on damaged files has no common base class
        raise BadModel(f"its parity data in {data_path.name}", "a missing or unreadable file", _HINT, path) from error
    return batches


def _check_batches(batches: Sequence[ParityBatch]) -> None:
    """Raise ValueError unless there are batches of images with logits for each of them."""
    for batch in batches:
        count = len(batch.image)
        if batch.image.ndim not in (4, 5) or batch.logits.ndim not in (2, batch.image.ndim) or not count:
            raise ValueError("arrays of other dimensions")
        if any(len(array) != count or array.dtype.kind not in "iuf" for array in batch):
            raise ValueError("arrays of different lengths, or not of numbers")
    if not batches:
        raise ValueError("no batches")


def write_parity_report(
    path: Path,
    kind: str,
    files: Mapping[str, Path],
    comparisons: Sequence[Comparison],
    limits: Limits,
    batches: Sequence[ParityBatch],
    versions: Mapping[str, str],
    *,
    exact: bool = True,
) -> None:
    """Write the parity report of the export at `path`; `files` maps their names to their current paths.

    `exact` states whether tiles of the graph give the logits of the whole image.
    """
    parity_report = {
        "file": path.name,
        "format": kind,
        "sha256": {name: digest(file) for name, file in files.items()},
        "data_sha256": digest(parity_data_path(path)),
        "reference": "torch, float32, batch normalisation folded",
        "tiles": "exact" if exact else "blended, because the graph normalises over the whole image",
        "input_shapes": [list(batch.image.shape) for batch in batches],
        "limits": asdict(limits),
        "results": [asdict(comparison) for comparison in comparisons],
        "versions": dict(versions),
    }
    atomic_write_json(parity_report_path(path), parity_report)


def read_parity_report(path: Path) -> dict[str, Any]:
    """Read the parity report of the export at `path`, and check the digests of its files.

    Raises
    ------
    BadModel
        The report is missing or damaged, is about another file, or a file has changed.
    """
    try:
        parity_report = json.loads(parity_report_path(path).read_text("utf-8"))
        digests, data_digest = dict(parity_report["sha256"]), str(parity_report["data_sha256"])
        limits = Limits(**parity_report["limits"])
        if not all(value is None or isinstance(value, int | float) for value in asdict(limits).values()):
            raise TypeError("limits that are no numbers")
        if str(parity_report["format"]) not in FORMATS:
            raise ValueError("an unknown format")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        expected = f"its parity report in {parity_report_path(path).name}"
        raise BadModel(expected, "a missing or unreadable file", _HINT, path) from error
    missing = sorted({file.name for file in model_files(path)} - set(digests))
    if missing or Path(FORMATS[parity_report["format"]].place).suffix != path.suffix:
        got = f"one without {missing[0]}" if missing else f"one of the format {parity_report['format']}"
        raise BadModel(f"a parity report of {path.name}", got, _HINT, path)
    files = {path.with_name(Path(name).name): value for name, value in digests.items()}
    for file, expected in (files | {parity_data_path(path): data_digest}).items():
        if not file.is_file() or digest(file) != expected:
            got = "a changed or damaged file" if file.is_file() else "no file"
            raise BadModel(f"the exported {file.name}", got, _HINT, path)
    return parity_report


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sha256.update(block)
    return sha256.hexdigest()
