"""Safe reader of .pth files: reads tensors without running any code of the file.

Such a file is a program for Python's unpickler. Its instructions are first listed without running them (`pickletools`),
and the file is rejected if it calls anything but the functions that build tensors. Then torch reads it with
`weights_only=True`. Two vulnerabilities of that reader are known (CVE-2025-32434, CVE-2026-24747), so torch 2.10 or
newer is required.
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
MIN_TORCH = (2, 10)
LEGACY_PROGRAMS = 5  # magic number, version, machine, tensors, storages: files before torch 1.6
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # keys of the model in checkpoints
PREFIXES = ("module.", "_orig_mod.", "model.")  # prefixes that wrappers add to every name

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    *(f"torch.{name}Storage" for name in _STORAGES),
}
# Instructions whose target is only known at run time: newer protocols, and ways around the list above
_INDIRECT = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .pth or .pt file.

    Returns
    -------
    dict of str to Tensor
        Contiguous copies on the CPU, without the name prefixes of wrappers; of a checkpoint, the tensors of its model.

    Raises
    ------
    BadWeights
        The file calls other functions or holds other values, is damaged or too large, or torch is too old.
    """
    _check_torch(path)
    try:
        size = path.stat().st_size
        if size > BYTES_LIMIT:
            raise _invalid(path, f"{size} bytes")
        called = set[str]()
        with path.open("rb") as file:
            for program in _programs(file, path):
                called |= _calls(program, path)
    except OSError as error:
        raise _invalid(path, (error.strerror or str(error)).lower()) from error
    forbidden = sorted(called - ALLOWED)
    if forbidden:
        hint = "If you trust it, load it and save torch.save(model.state_dict(), FILE). No code of it was run."
        got = f"one that calls {', '.join(forbidden[:5])}"
        raise BadWeights("a file that holds only tensors", got, hint, path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types
        raise _invalid(path, f"a damaged file ({str(error).splitlines()[0] if str(error) else error!r})") from error
    return _copies(_find_tensors(content, path), path)


def _check_torch(path: Path) -> None:
    version = tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])
    if version < MIN_TORCH:
        hint = "Update torch, or use a .safetensors file: older versions have a known vulnerability."
        raise BadWeights("torch 2.10 or newer to read .pth files", torch.__version__, hint, path)


def _programs(file: BufferedIOBase, path: Path) -> Iterable[BufferedIOBase]:
    """Yield the pickle programs of a file: one in a zip archive, five in succession in a legacy file."""
    start = file.read(4)
    file.seek(0)
    if start != b"PK\3\4":  # the same check as in torch, so that both detect the same format
        for _ in range(LEGACY_PROGRAMS):
            yield file  # listing a program advances the file to its end
        return
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            programs = [member for member in members if member.filename.endswith("/data.pkl")]
            if len(programs) != 1 or len(set(names)) != len(names):
                raise _invalid(path, "an archive not written by torch")
            if any("/code/" in name for name in names):
                raise _invalid(path, "a TorchScript program")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise _invalid(path, "a compressed archive")
            if len(members) > TENSOR_LIMIT or programs[0].file_size > PROGRAM_LIMIT:
                raise _invalid(path, f"an archive of {len(members)} files")
            yield BytesIO(archive.read(programs[0]))
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise _invalid(path, f"a damaged archive ({error})") from error


def _calls(program: Any, path: Path) -> set[str]:
    """Return the functions that a program (an open file) would call, without running it."""
    called = set[str]()
    try:
        for instruction, argument, _ in pickletools.genops(program):
            if instruction.name == "GLOBAL":
                called.add(str(argument).replace(" ", "."))
            elif instruction.name in _INDIRECT:
                called.add(f"an unknown target of {instruction.name}")
    except ValueError as error:
        raise _invalid(path, "a damaged file, or one of another kind") from error
    return called


def _find_tensors(content: Any, path: Path) -> Mapping[str, Tensor]:
    """Return the mapping of names to tensors, which checkpoints nest below one of several keys."""
    if isinstance(content, Mapping):
        if content and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
            return content
        for key in NESTED:
            if isinstance(content.get(key), Mapping):
                return _find_tensors(content[key], path)
        raise _invalid(path, f"a mapping of {', '.join(str(key) for key in list(content)[:5]) or 'nothing'}")
    raise _invalid(path, f"one {type(content).__name__}")


def _copies(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return contiguous copies; the limits also reject small files that expand to terabytes with a stride of 0."""
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    if len(tensors) > TENSOR_LIMIT or total > BYTES_LIMIT:
        raise _invalid(path, f"{len(tensors)} tensors of {total} bytes")
    values = dict(tensors)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in values):
            values = {name.removeprefix(prefix): value for name, value in values.items()}
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in values.items()}


def _invalid(path: Path, got: str) -> BadWeights:
    hint = "Use a file written by torch.save(model.state_dict(), FILE)."
    return BadWeights("a .pth file of tensors", got, hint, path)
