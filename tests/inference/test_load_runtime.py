"""Loading a runtime takes the memory of its weights once."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tiny import make_recipe, write_model

OPEN = """
import sys
from pathlib import Path
from pixelwise.inference.load_runtime import load_runtime
from pixelwise.runtimes.malloc import keep_large_blocks, release_memory

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

keep_large_blocks()  # as commands do
load_runtime("small.safetensors", device="cpu", runtime="torch")
release_memory()
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
opened = load_runtime("large.safetensors", device="cpu", runtime="torch")
print(status("VmHWM") - before, status("VmRSS") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opening_a_model_takes_the_memory_of_its_weights(tmp_path: Path) -> None:
    for name, base in (("small", 2), ("large", 64)):
        write_model(tmp_path / f"{name}.safetensors", replace(make_recipe(base=base, depth=4), tile=512))
    weights = (tmp_path / "large.safetensors").stat().st_size
    opened = subprocess.run(
        [sys.executable, "-c", OPEN], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    peak, held = (int(number) / weights for number in opened)
    assert held < 1.3, "2.4 with copies between them"
    assert 1.8 < peak < 2.9, "those of the file, which are mapped, and the folded ones; 3.2 with copies of copies"
