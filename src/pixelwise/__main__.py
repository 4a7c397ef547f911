"""The command line program `pixelwise`, also as python -m pixelwise."""

import atexit
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import NoReturn
else:
    import _signal as signal  # without its enumerations, which take a third of `--version`

NO_COMMAND = 2  # exit code of `pixelwise` without a command, as of any unusable command line
STOPPED = 130  # exit code of shells for Ctrl-C, and of Typer: nothing to continue
_STOPS = (signal.SIGINT, signal.SIGTERM)


def main() -> "NoReturn":
    """Run the command line, and end this process with its exit code.

    Ctrl-C and SIGTERM end it with one line, also while modules are imported; commands that save their state catch them.
    They raise inside of `_run_until_stopped` alone, so that none can come between the end of the command and that of
    the process, which would then count as killed by the signal.
    """
    code = STOPPED
    try:
        code = _run_until_stopped()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
    sys.exit(code)


def run() -> int:
    """Print the overview or the version at once; run the full command line otherwise. Return the exit code."""
    from pixelwise.cli.overview import quick_answer

    words = sys.argv[1:]
    answer = quick_answer(words)
    if answer is not None:
        (sys.stdout if words else sys.stderr).write(f"{answer}\n")
        return 0 if words else NO_COMMAND
    from pixelwise.cli.main import main as run_command_line

    try:
        run_command_line()
    except SystemExit as end:
        if end.code == STOPPED:
            raise KeyboardInterrupt from None
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _run_until_stopped() -> int:
    atexit.register(_ignore_signals)  # the first one registered is called last
    for number in _STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:  # a command in the background of a script ignores Ctrl-C
            signal.signal(number, _interrupt)
    return run()


def _interrupt(number: int, frame: "FrameType | None") -> None:
    """Raise KeyboardInterrupt while the command runs; its exit code stands after that."""
    while frame is not None and frame.f_code is not _run_until_stopped.__code__:
        frame = frame.f_back
    if frame is not None:
        raise KeyboardInterrupt


def _ignore_signals() -> None:
    """Ignore signals for good: at the end, an interpreter gives back those that Python functions handle."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
