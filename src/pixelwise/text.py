"""Words for people: a number with its noun, and a command that can be copied into a shell."""

import re
import shlex

_HISSES = ("s", "x", "ch", "sh")  # nouns that end so take -es


def pluralise(count: int, one: str, many: str = "") -> str:
    """Return a number with the words that agree with it: "1 patch", "2 patches", "3,000 images".

    Parameters
    ----------
    count : int
    one : str
        A noun, or a phrase such as "image was".
    many : str
        The same for several; by default the regular plural of `one`.
    """
    return f"{count:,} {one if count == 1 else many or _plural(one)}"


def _plural(noun: str) -> str:
    if noun.endswith(_HISSES):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else f"{noun}s"


def command(*words: object) -> str:
    """Return a command line of pixelwise; words with spaces and the like are quoted for the shell."""
    return shlex.join(["pixelwise", *map(str, words)])
