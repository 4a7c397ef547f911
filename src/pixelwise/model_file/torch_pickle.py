"""The one door for .pth files: tensors are taken out of them, and nothing in them is ever run.

Such a file is a small program for Python's unpickler. Before torch looks at it, every instruction is listed without
being run (`pickletools`), and the file is refused unless all it calls are the few functions that put tensors together.
Then torch reads it with `weights_only=True`, and there is no second try: two holes of that reader are known
(CVE-2025-32434, CVE-2026-24747), so that torch from 2.10 on is asked for.
"""

import pickletools
import zipfile
from collections.abc import Iterable, Mapping
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelwise.errors import BadWeights

BYTES_LIMIT = 8 * 2**30
PROGRAM_LIMIT = 64 * 2**20  # bytes of instructions; those of a ResNet-152 take 100 KB
TENSOR_LIMIT = 10_000
LEAST_TORCH = (2, 10)
LEGACY_PROGRAMS = 5  # magic number, version, machine, tensors, storages: files before torch 1.6
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # where tensors stand in checkpoints
PREFIXES = ("module.", "_orig_mod.", "model.")  # what wrappers put before every name

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    *(f"torch.{name}Storage" for name in _STORAGES),
}
# Calls whose target only running the program would tell: newer protocols, and ways around the list above.
_HIDDEN = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .pth or .pt file.

    Returns
    -------
    dict of str to Tensor
        Contiguous copies on the CPU; the prefixes of wrappers are taken off. Of a checkpoint, its model's tensors.

    Raises
    ------
    BadWeights
        The file calls anything but what builds tensors, holds something else than tensors, is damaged or too large; or
        torch is too old.
    """
    _check_torch(path)
    try:
        size = path.stat().st_size
        if size > BYTES_LIMIT:
            raise _refused(path, f"{size} bytes")
        called = set[str]()
        with path.open("rb") as file:
            for program in _programs(file, path):
                called |= _calls(program, path)
    except OSError as error:
        raise _refused(path, (error.strerror or str(error)).lower()) from error
    strange = sorted(called - ALLOWED)
    if strange:
        hint = "If you trust its maker, load it there and write torch.save(model.state_dict(), FILE); nothing was run."
        got = f"one that calls {', '.join(strange[:5])}"
        raise BadWeights("a file of tensors alone", got, hint, path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its parts raise; the first line says enough
        raise _refused(path, f"a damaged file ({str(error).splitlines()[0] if str(error) else error!r})") from error
    return _copies(_find_tensors(content, path), path)


def _check_torch(path: Path) -> None:
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < LEAST_TORCH:
        hint = "Update torch, or give a .safetensors file: earlier readers of .pth files have a known hole."
        raise BadWeights("torch 2.10 or newer to read .pth files", torch.__version__, hint, path)


def _programs(file: BufferedIOBase, path: Path) -> Iterable[BufferedIOBase]:
    """Yield the instructions of a file: the one program of a zip archive, or the five of an old file in turn."""
    start = file.read(4)
    file.seek(0)
    if start != b"PK\3\4":  # the test that torch makes: both must take the file for the same kind
        for _ in range(LEGACY_PROGRAMS):
            yield file  # what lists a program leaves the file behind its end
        return
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            programs = [member for member in members if member.filename.endswith("/data.pkl")]
            if len(programs) != 1 or len(set(names)) != len(names):
                raise _refused(path, "an archive that torch did not write")
            if any("/code/" in name for name in names):
                raise _refused(path, "a TorchScript program")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise _refused(path, "a compressed archive")
            if len(members) > TENSOR_LIMIT or programs[0].file_size > PROGRAM_LIMIT:
                raise _refused(path, f"an archive of {len(members)} parts")
            yield BytesIO(archive.read(programs[0]))
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise _refused(path, f"a damaged archive ({error})") from error


def _calls(program: Any, path: Path) -> set[str]:
    """List what a program (an open file) would call, without running it."""
    called = set[str]()
    try:
        for instruction, argument, _ in pickletools.genops(program):
            if instruction.name == "GLOBAL":
                called.add(str(argument).replace(" ", "."))
            elif instruction.name in _HIDDEN:
                called.add(f"something hidden behind {instruction.name}")
    except ValueError as error:
        raise _refused(path, "a file of another kind, or a damaged one") from error
    return called


def _find_tensors(content: Any, path: Path) -> Mapping[str, Tensor]:
    """Return the mapping of names to tensors, which checkpoints keep below a word of their own."""
    if isinstance(content, Mapping):
        if content and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
            return content
        for word in NESTED:
            if isinstance(content.get(word), Mapping):
                return _find_tensors(content[word], path)
        raise _refused(path, f"a mapping of {', '.join(str(key) for key in list(content)[:5]) or 'nothing'}")
    raise _refused(path, f"one {type(content).__name__}")


def _copies(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Copy the tensors out of what they share; a stride of zero must not unfold into terabytes."""
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    if len(tensors) > TENSOR_LIMIT or total > BYTES_LIMIT:
        raise _refused(path, f"{len(tensors)} tensors of {total} bytes")
    found = dict(tensors)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in found.items()}


def _refused(path: Path, got: str) -> BadWeights:
    hint = "Give the file that torch.save(model.state_dict(), FILE) writes."
    return BadWeights("a .pth file of tensors", got, hint, path)
