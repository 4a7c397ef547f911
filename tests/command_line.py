"""The command line without a process of its own: importing PyTorch takes longer than most commands."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pixelwise.__main__ import main


def run_here(*words: object, cwd: Path | None = None) -> CompletedProcess[str]:
    """Run `pixelwise` with these words in this process; return what a process would have come to."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["pixelwise", *map(str, words)])
        if cwd is not None:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as stop:
            main()
    return CompletedProcess(sys.argv, int(stop.value.code or 0), out.getvalue(), err.getvalue())
