"""The example of the page about many processes runs as it is written."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from command_line import shell_environment
from pixelwise.cluster.launch_commands import launch_commands
from pixelwise.io.read import write_image
from sleepers import make_job
from tiny import write_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_example_for_a_workstation_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    write_model(tmp_path / "runs" / "first" / "model.safetensors")
    for number in range(4):
        write_image(tmp_path / "scans" / f"{number}.png", np.full((1, 20, 20), number, np.uint8))
    done = subprocess.run(
        ["sh", "-e", "-c", example], cwd=tmp_path, env=shell_environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 done" in done.stdout
    assert len(list((tmp_path / "masks").glob("*.png"))) == 4


def test_the_page_shows_the_command_for_slurm_that_is_printed(tmp_path: Path) -> None:
    printed = shlex.split(launch_commands(make_job(tmp_path, [{}] * 100)).commands["SLURM"])
    (shown,) = re.findall(r"^(sbatch .*?)^pixelwise", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    words = shlex.split(shown.replace("\\\n", " "))
    assert words[:-1] == printed[:-1]
    assert words[-1].startswith("--wrap=exec env OMP_NUM_THREADS=4 pixelwise worker ")


def test_the_manifest_is_one_document(tmp_path: Path) -> None:
    command = launch_commands(make_job(tmp_path, [{}] * 100)).commands["Kubernetes"]
    manifest = command.partition("<<'END'\n")[2].rpartition("END")[0]
    assert len(list(yaml.safe_load_all(manifest))) == 1
