"""Why .pt2 files are not loaded: PyTorch evaluates text in them, even without pickles."""

import re
import zipfile
from pathlib import Path

import pytest
import torch

from exports import make_network
from pixelwise.errors import BadModel
from pixelwise.exporters.graph import quiet
from pixelwise.exporters.to_torch import write_torch
from pixelwise.exporters.verification import verify_export
from pixelwise.inference.load import open_model

SIZE = re.compile(r'("expr_str": ?")')


def inject_into_sizes(source_path: Path, path: Path, expression: str) -> None:
    """Copy a .pt2 file, with an expression before each size in its graph; nothing else is changed."""
    changed = 0
    with zipfile.ZipFile(source_path) as source, path.open("wb") as file:
        writer = torch._C.PyTorchFileWriter(file)  # the writer of torch.export.save
        for name in source.namelist():
            record, content = name.split("/", 1)[1], source.read(name)
            if record.startswith(".data/") or record == "byteorder":
                continue
            if record.startswith("models/"):
                text, changed = SIZE.subn(lambda match: f"{match[1]}{expression} or ", content.decode())
                content = text.encode()
            writer.write_record(record, content, len(content))
        writer.write_end_of_file()
    assert changed


def test_a_foreign_file_could_run_code(tmp_path: Path) -> None:
    """Fails once PyTorch no longer evaluates sizes; then reconsider whether `verify` may load such files."""
    network, model_card = make_network()
    write_torch(tmp_path / "ours.pt2", network, model_card)
    ran, foreign = tmp_path / "ran", tmp_path / "foreign.pt2"
    inject_into_sizes(tmp_path / "ours.pt2", foreign, f"__import__('pathlib').Path('{ran}').touch()")
    for opens in (open_model, verify_export):
        with pytest.raises(BadModel, match="a model file that is safe to load"):
            opens(foreign)
    assert not ran.exists()
    with quiet():  # control: the rejected file does run code
        torch.export.load(foreign)
    assert ran.exists()
