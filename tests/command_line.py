"""The command line in this process, as importing PyTorch takes longer than most commands, and in a shell."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pixelwise.__main__ import run


def run_here(*words: object, cwd: Path | None = None) -> CompletedProcess[str]:
    """Run `pixelwise` with these words in this process; return what a process would have come to."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["pixelwise", *map(str, words)])
        if cwd is not None:
            patch.chdir(cwd)
        code = run()
    return CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def shell_environment(folder: Path) -> dict[str, str]:
    """Return an environment whose PATH has a program `pixelwise`, run by this Python, in a new folder `bin`."""
    program = folder / "bin" / "pixelwise"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pixelwise "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
