"""The weights cache: published weights are downloaded once and stored as safetensors.

    <cache>/weights/resnet34-b627a593.safetensors   the tensors, with their provenance in the header
    <cache>/weights/resnet34-b627a593.json          digests of the published file and of the stored one

The cache is $PIXELWISE_CACHE, else $XDG_CACHE_HOME/pixelwise, else ~/.cache/pixelwise.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json
from pixelwise.errors import BadWeights
from pixelwise.model_file.torch_pickle import read_pickled
from pixelwise.networks.published import PretrainedWeights
from pixelwise.networks.weights import Provenance
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import cache_folder
from pixelwise.workflow.weights.download import download


def stored_path(published: PretrainedWeights) -> Path:
    """Return the cache path of published weights."""
    return cache_folder() / "weights" / f"{published.stem}.safetensors"


def fetch_weights(published: PretrainedWeights, progress: Progress) -> Path:
    """Return the cached file of published weights; download and convert it if missing.

    Raises
    ------
    BadWeights
        The download fails, or the file differs from the published one; the hint explains how to import it manually.
    OutputFailed
        The cache cannot be written.
    """
    path = stored_path(published)
    if is_stored(published):
        return path
    downloaded = path.with_suffix(".pth")
    hint = (
        f"On a machine with network access, download {published.url}; copy the file here and run "
        f"`pixelwise import-weights {published.stem}.pth` to store it in {path.parent}."
    )
    progress.message(f"Downloading {published.url} ({published.size_mib:.0f} MiB) to {path.parent}.")
    digest = download(
        published.url, downloaded, sha256=published.sha256, size_mib=published.size_mib, hint=hint, progress=progress
    )
    try:
        store_weights(published, read_pickled(downloaded), digest)
    finally:
        downloaded.unlink(missing_ok=True)
    return path


def is_stored(published: PretrainedWeights) -> bool:
    """Return whether the weights are cached.

    Raises
    ------
    BadWeights
        The cached file has changed.
    """
    path = stored_path(published)
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        expected = record["safetensors_sha256"], record["sha256"][: len(published.sha256)]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadWeights("the record of a stored file", str(error), _REMOVE, path.with_suffix(".json")) from error
    if not path.is_file():
        return False
    if expected != (file_digest(path), published.sha256):
        raise BadWeights("the file as it was stored", "a file with another SHA-256", _REMOVE, path)
    return True


def store_weights(published: PretrainedWeights, tensors: Mapping[str, Tensor], digest: str) -> Path:
    """Store the tensors of a published file with this digest."""
    path = stored_path(published)
    content = to_file(tensors, provenance_of(published, digest))
    atomic_write_bytes(path, content)
    # written last: without it the file is not used
    record: dict[str, Any] = {"url": published.url, "sha256": digest, "known_beforehand": published.has_full_digest}
    record["safetensors_sha256"] = hashlib.sha256(content).hexdigest()
    atomic_write_json(path.with_suffix(".json"), record)
    return path


def provenance_of(published: PretrainedWeights, digest: str) -> Provenance:
    """Return the provenance of a published file, with its full digest."""
    return Provenance(
        source=published.source, licence=published.licence, sha256=digest, mean=published.mean, std=published.std
    )


def to_file(tensors: Mapping[str, Tensor], origin: Provenance) -> bytes:
    """Return the bytes of a safetensors file with the provenance in its header."""
    return save(dict(tensors), origin.to_metadata())


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises
    ------
    BadWeights
        It cannot be read.
    """
    if path.exists() and not path.is_file():
        raise BadWeights("a file", "a folder, pipe or device", "Check the path.", path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadWeights("a file", (error.strerror or str(error)).lower(), "Check the path.", path) from error


_REMOVE = "Remove it; it is downloaded again, or imported with `pixelwise import-weights`."
