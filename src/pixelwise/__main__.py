"""The program `pixelwise`, also as python -m pixelwise."""

import sys

from pixelwise.cli.overview import quick_answer

NOTHING_ASKED = 2  # exit code of `pixelwise` alone, as of any command line that cannot be used


def main() -> None:
    """Print the overview or the version at once; run the command line for all else."""
    words = sys.argv[1:]
    answer = quick_answer(words)
    if answer is not None:
        (sys.stdout if words else sys.stderr).write(f"{answer}\n")
        sys.exit(0 if words else NOTHING_ASKED)
    from pixelwise.cli.main import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
