"""What `pixelwise --help` and `pixelwise --version` print: at once, without the library that reads the command line.

Typer and what it imports take most of the time of a start. Both answers are needed before anything else, often on a
busy machine or where Python cannot keep compiled files, so that this module imports nothing.
"""

COMMANDS = {
    "train": "Train a model on images and masks, or on class folders.",
    "evaluate": "Score a run on labelled images, with intervals.",
    "predict": "Predict masks or classes for images of any size.",
    "report": "Write one HTML page about a run.",
    "inspect": "Show what was understood of data, a run or a network.",
    "forecast": "Say what more masks would bring, and what to label next.",
    "import-weights": "Turn weights of another library into safetensors.",
    "demo": "Draw touching cells, train, evaluate, predict, report.",
    "export": "Write a run for other programs, with a proof.",
    "verify": "Repeat the proof of an exported file on this machine.",
    "cache": "Show or clear what this machine keeps of measurements.",
}

PURPOSE = "From a folder of images, with masks or in class folders, to a model that can be trusted."


def overview() -> str:
    """Return what `pixelwise --help` prints: the commands, each with a line of at most 80 characters.

    Examples
    --------
    >>> overview().splitlines()[0]
    'Usage: pixelwise [OPTIONS] COMMAND [ARGS]...'
    """
    width = max(map(len, COMMANDS))
    commands = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: pixelwise [OPTIONS] COMMAND [ARGS]...",
            "",
            *PURPOSE.replace(", to a", ",\nto a").splitlines(),
            "",
            "Options:",
            f"  {'--version':<{width}}  Print the version.",
            f"  {'--help':<{width}}  Show this message and exit.",
            "",
            "Commands:",
            *commands,
            "",
            "Flags of a command: pixelwise COMMAND --help",
        ]
    )


def quick_answer(words: list[str]) -> str | None:
    """Return what a command line gets that names no command; None where the command line itself has to be read.

    Parameters
    ----------
    words : list of str
        What was typed after `pixelwise`.

    Examples
    --------
    >>> quick_answer(["--version"]) == version()
    True
    >>> quick_answer(["train", "--help"]) is None
    True
    """
    if words in ([], ["--help"]):
        return overview()
    return version() if words == ["--version"] else None


def version() -> str:
    """Return the version of the package."""
    from pixelwise.version import __version__

    return __version__
