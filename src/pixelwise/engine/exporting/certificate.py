"""The certificate of an export: what it says on real tiles, beside what torch says; numpy alone.

Beside `model.onnx` lie `model.onnx.certificate.json`, which people read, and `model.onnx.proof.npz` with the tiles and
torch's logits, so that the proof can be repeated on any machine, without the run and without torch.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from pixelwise.commit import commit, commit_json
from pixelwise.engine.exporting.samples import Trial
from pixelwise.engine.runtimes import Outputs
from pixelwise.errors import BadModel, ExportFailed
from pixelwise.scoring.semantic import class_scores, confusion, mean_of

BLOCK = 2**20
Answer = Callable[[Trial], Outputs]  # what an exported file says of a trial


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far an export may be from torch; None: as far as it likes.

    Attributes
    ----------
    difference : float or None
        Largest difference of two logits, as a share of the largest logit.
    probability_difference : float or None
        Largest difference of two probabilities.
    disagreement : float or None
        Share of pixels whose class differs.
    iou_loss : float
        Points (hundredths) of mean IoU over the classes.
    """

    difference: float | None
    probability_difference: float | None
    disagreement: float | None
    iou_loss: float


EXACT = Limits(difference=1e-4, probability_difference=1e-3, disagreement=1e-5, iou_loss=0.01)
QUANTISED = Limits(difference=None, probability_difference=None, disagreement=None, iou_loss=0.5)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What one runtime says of all trials; `iou_change` is in points and below 0 where it got worse."""

    runtime: str
    difference: float
    probability_difference: float
    disagreement: float
    iou_torch: float
    iou: float
    iou_change: float

    def to_text(self) -> str:
        """Return one line for people."""
        logits = f"logits within {self.difference:.1g} of the largest"
        masks = f"{self.disagreement:.4%} of the pixels change class"
        score = f"IoU {self.iou_torch:.4f} -> {self.iou:.4f} ({self.iou_change:+.2f} points)"
        return f"{self.runtime}: {logits}, {masks}, {score}"

    def beyond(self, limits: Limits) -> list[str]:
        """Say which limits are broken."""
        broken: list[str] = []
        for name, told in (
            ("difference", "logits differ by {:.2g} of the largest (limit {:.2g})"),
            ("probability_difference", "probabilities differ by {:.2g} (limit {:.2g})"),
            ("disagreement", "a share of {:.2g} of the pixels changes class (limit {:.2g})"),
        ):
            found, limit = getattr(self, name), getattr(limits, name)
            if limit is not None and not found <= limit:  # "not <=" also refuses what is not a number
                broken.append(told.format(found, limit))
        if not -self.iou_change <= limits.iou_loss:
            broken.append(f"{-self.iou_change:.2f} points of IoU are lost (limit {limits.iou_loss:g})")
        return broken


def compare(runtime: str, answer: Answer, trials: Sequence[Trial]) -> Comparison:
    """Let a runtime answer all trials and compare."""
    largest = max(float(np.abs(trial.logits).max()) for trial in trials)
    classes = trials[0].logits.shape[1]
    logits, probabilities, changed, pixels = 0.0, 0.0, 0, 0
    ours, torchs = np.zeros((classes, classes), np.int64), np.zeros((classes, classes), np.int64)
    for trial in trials:
        found = answer(trial)
        logits = max(logits, _gap(found.logits, trial.logits))
        probabilities = max(probabilities, _gap(found.probabilities, softmax(trial.logits, axis=1)))
        masks, expected = found.probabilities.argmax(1), trial.logits.argmax(1)
        changed, pixels = changed + int((masks != expected).sum()), pixels + masks.size
        for truth, mask, wanted in zip(trial.truth, masks, expected, strict=True):
            ours += confusion(truth, mask, classes)
            torchs += confusion(truth, wanted, classes)
    before, after = _iou(torchs), _iou(ours)
    return Comparison(
        runtime=runtime,
        difference=logits / max(largest, 1e-12),
        probability_difference=probabilities,
        disagreement=changed / pixels,
        iou_torch=before,
        iou=after,
        iou_change=100 * (after - before),
    )


def check(comparisons: Sequence[Comparison], limits: Limits, path: Path) -> None:
    """Refuse an export beyond its limits.

    Raises
    ------
    ExportFailed
        What is broken, and by how much.
    """
    for comparison in comparisons:
        broken = comparison.beyond(limits)
        if broken:
            expected = "an export that says what torch says"
            came = f"with {comparison.runtime}: {'; '.join(broken)}"
            raise ExportFailed(expected, came, "Use another format; no file is kept beyond the limits.", path)


def certificate_path(path: Path) -> Path:
    """Return where the certificate of an exported file lies."""
    return path.with_name(f"{path.name}.certificate.json")


def proof_path(path: Path) -> Path:
    """Return where the tiles of the proof lie."""
    return path.with_name(f"{path.name}.proof.npz")


def write_proof(path: Path, trials: Sequence[Trial]) -> None:
    """Write the tiles and torch's logits for the export at `path`."""
    arrays = {f"{name}_{index}": value for index, trial in enumerate(trials) for name, value in _parts(trial).items()}
    commit(proof_path(path), lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def read_proof(path: Path) -> list[Trial]:
    """Read the trials that lie beside the export at `path`.

    Raises
    ------
    BadModel
        They are missing or damaged.
    """
    place = proof_path(path)
    try:
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as arrays:
            count = len(arrays.files) // len(Trial._fields)
            return [Trial(*(arrays[f"{name}_{index}"] for name in Trial._fields)) for index in range(count)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        mend = "Export the run again, and copy all files of the export together."
        raise BadModel(f"the tiles of the proof in {place.name}", "none that can be read", mend, path) from error


def write_certificate(
    path: Path,
    kind: str,
    files: Mapping[str, Path],
    comparisons: Sequence[Comparison],
    limits: Limits,
    trials: Sequence[Trial],
    versions: Mapping[str, str],
) -> None:
    """Write the certificate of the export at `path`; `files` are its files by name, wherever they lie now."""
    certificate = {
        "file": path.name,
        "format": kind,
        "sha256": {name: digest(place) for name, place in files.items()},
        "proof_sha256": digest(proof_path(path)),
        "reference": "torch, float32, batch normalisation folded",
        "trials": [list(trial.image.shape) for trial in trials],
        "limits": asdict(limits),
        "results": [asdict(comparison) for comparison in comparisons],
        "versions": dict(versions),
    }
    commit_json(certificate_path(path), certificate)


def read_certificate(path: Path) -> dict[str, Any]:
    """Read the certificate of the export at `path`, and check that its files are the certified ones.

    Raises
    ------
    BadModel
        There is none, it is damaged, or a file has changed since.
    """
    mend = "Export the run again, and copy all files of the export together."
    try:
        certificate = json.loads(certificate_path(path).read_text("utf-8"))
        digests, proof = dict(certificate["sha256"]), str(certificate["proof_sha256"])
        Limits(**certificate["limits"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = f"its certificate in {certificate_path(path).name}"
        raise BadModel(expected, "none that can be read", mend, path) from error
    found = {path.with_name(Path(name).name): value for name, value in digests.items()} | {proof_path(path): proof}
    for place, expected in found.items():
        if not place.is_file() or digest(place) != expected:
            came = "another one, or a damaged one" if place.is_file() else "none"
            raise BadModel(f"the certified {place.name}", came, mend, path)
    return certificate


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
    return whole.hexdigest()


def _parts(trial: Trial) -> dict[str, np.ndarray]:
    return trial._asdict()


def _gap(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference; infinite where something is not a number."""
    gap = float(np.abs(found - expected).max())
    return gap if np.isfinite(gap) else np.inf


def _iou(matrix: np.ndarray) -> float:
    return mean_of(class_scores(matrix).iou) or 0.0
