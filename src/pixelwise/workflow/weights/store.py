"""The store of published weights on this machine: fetched once, kept as safetensors, found again without a network.

    <cache>/weights/resnet34-b627a593.safetensors   the tensors, with their origin in the header
    <cache>/weights/resnet34-b627a593.json          digest of the published file and of the one beside it

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

BLOCK = 2**20


def stored_path(published: PretrainedWeights) -> Path:
    """Return where a published file's tensors lie, or would lie."""
    return cache_folder() / "weights" / f"{published.stem}.safetensors"


def obtain(published: PretrainedWeights, progress: Progress) -> Path:
    """Return the stored file of published weights; fetch and convert it when it is not there.

    Raises
    ------
    BadWeights
        It cannot be fetched, or is not the published file; the message says how to bring it here by hand.
    OutputFailed
        The cache cannot be written.
    """
    path = stored_path(published)
    if is_stored(published):
        return path
    fetched = path.with_suffix(".pth")
    hint = (
        f"Where there is a network, fetch {published.url}, bring the file here and run "
        f"`pixelwise import-weights {published.stem}.pth`; from then on it is found in {path.parent}."
    )
    progress.message(f"Fetching {published.url} ({published.mebibytes:.0f} MiB), once, into {path.parent}.")
    digest = download(
        published.url,
        fetched,
        sha256=published.sha256,
        mebibytes=published.mebibytes,
        hint=hint,
        progress=progress,
    )
    try:
        store(published, read_pickled(fetched), digest)
    finally:
        fetched.unlink(missing_ok=True)
    return path


def is_stored(published: PretrainedWeights) -> bool:
    """Return whether the tensors are there and are still what was written.

    Raises
    ------
    BadWeights
        They have changed since.
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
        raise BadWeights("the file as it was stored", "another one: its SHA-256 has changed", _REMOVE, path)
    return True


def store(published: PretrainedWeights, tensors: Mapping[str, Tensor], digest: str) -> Path:
    """Keep the tensors of a published file; `digest` is the file's own."""
    path = stored_path(published)
    content = to_file(tensors, origin_of(published, digest))
    atomic_write_bytes(path, content)
    # last: without it the file does not count
    record: dict[str, Any] = {"url": published.url, "sha256": digest, "known_beforehand": published.whole_digest}
    record["safetensors_sha256"] = hashlib.sha256(content).hexdigest()
    atomic_write_json(path.with_suffix(".json"), record)
    return path


def origin_of(published: PretrainedWeights, digest: str) -> Provenance:
    """Return what is known of a published file, with its whole digest."""
    return Provenance(
        source=published.source,
        licence=published.licence,
        sha256=digest,
        mean=published.mean,
        std=published.std,
    )


def to_file(tensors: Mapping[str, Tensor], origin: Provenance) -> bytes:
    """Return the bytes of a safetensors file with the origin in its header."""
    return save(dict(tensors), origin.to_metadata())


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises
    ------
    BadWeights
        It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise BadWeights("a file", (error.strerror or str(error)).lower(), "Check the path.", path) from error
    return digest.hexdigest()


_REMOVE = "Remove it; it is fetched again, or imported with `pixelwise import-weights`."
