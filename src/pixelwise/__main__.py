"""The command line program `pixelwise`, also as python -m pixelwise."""

import sys

from pixelwise.cli.overview import quick_answer

NO_COMMAND = 2  # exit code of `pixelwise` without a command, as of any unusable command line
STOPPED = 130  # exit code of shells for Ctrl-C, and of Typer: nothing to continue


def main() -> None:
    """Print the overview or the version at once; run the full command line otherwise.

    Ctrl-C and SIGTERM end it with one line, also while modules are imported; commands that save their state catch them.
    """
    words = sys.argv[1:]
    answer = quick_answer(words)
    if answer is not None:
        (sys.stdout if words else sys.stderr).write(f"{answer}\n")
        sys.exit(0 if words else NO_COMMAND)
    try:
        import signal

        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from pixelwise.cli.main import main as run_command_line

        run_command_line()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != STOPPED:
            raise
        sys.stderr.write("Stopped.\n")
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
