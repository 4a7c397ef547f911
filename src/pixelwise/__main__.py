"""The command line program `pixelwise`, also as python -m pixelwise."""

import sys

from pixelwise.cli.overview import quick_answer

NO_COMMAND = 2  # exit code of `pixelwise` without a command, as of any unusable command line


def main() -> None:
    """Print the overview or the version at once; run the full command line otherwise."""
    words = sys.argv[1:]
    answer = quick_answer(words)
    if answer is not None:
        (sys.stdout if words else sys.stderr).write(f"{answer}\n")
        sys.exit(0 if words else NO_COMMAND)
    from pixelwise.cli.main import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
