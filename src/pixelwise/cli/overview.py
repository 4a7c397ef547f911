"""Output of `pixelwise --help` and `pixelwise --version`, without importing Typer.

Importing Typer takes most of the start-up time, in particular where Python cannot write compiled files. This module
therefore imports nothing.
"""

COMMANDS = {
    "train": "Train a model on images and masks, or on class folders.",
    "evaluate": "Evaluate a run on labelled images.",
    "predict": "Predict masks or classes for images of any size.",
    "report": "Write an HTML report of a run.",
    "inspect": "Show what was detected in data, a run or a network.",
    "convert": "Write a data set as another program's folder.",
    "doctor": "Find faults in data, and write a corrected copy.",
    "forecast": "Estimate the gain from more labels, select images to label.",
    "import-weights": "Convert weights of another library to safetensors.",
    "demo": "Train, evaluate and predict on synthetic images.",
    "export": "Export a run for other programs, and check that it matches.",
    "verify": "Check again that an exported model matches.",
    "worker": "Compute units of a job, beside other workers.",
    "jobs": "Show what is done, running and failed in a job.",
    "serve": "Open a page to view, correct and train; HTTP interface.",
    "cache": "Show or clear cached measurements and downloads.",
}

PURPOSE = "Train segmentation and classification networks on your own images."


def overview() -> str:
    """Return the output of `pixelwise --help`: a line of at most 80 characters for each command.

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
            PURPOSE,
            "",
            "Options:",
            f"  {'--version':<{width}}  Print the version.",
            f"  {'--help':<{width}}  Show this message and exit.",
            "",
            "Commands:",
            *commands,
            "",
            "Options of a command: pixelwise COMMAND --help",
        ]
    )


def quick_answer(words: list[str]) -> str | None:
    """Return the output of a command line without a command; None if Typer has to parse it.

    Parameters
    ----------
    words : list of str
        The arguments after `pixelwise`.

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
    from pixelwise.text import __version__

    return __version__
