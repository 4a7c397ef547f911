"""Text that many messages share: the version, numbers with their nouns, and shell commands."""

__version__ = "0.1.0"
_ES_ENDINGS = ("s", "x", "ch", "sh")  # nouns with these endings take -es


def pluralise(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun in the singular or plural: "1 patch", "2 patches", "3,000 images".

    Parameters
    ----------
    one : str
        A noun, or a phrase such as "image was".
    many : str
        The plural; by default the regular plural of `one`.
    """
    return f"{count:,} {one if count == 1 else many or _plural(one)}"


def _plural(noun: str) -> str:
    if noun.endswith(_ES_ENDINGS):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun[-1:] == "y" and noun[-2:-1] not in "aeiou" else f"{noun}s"


def list_first(names: list[str] | tuple[str, ...], limit: int = 5) -> str:
    """Return names separated by commas: of a long list the first `limit`, and the number of the others.

    >>> list_first(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def command(*words: object) -> str:
    """Return a pixelwise command line, quoted for the shell."""
    import shlex  # not for the version alone

    return shlex.join(["pixelwise", *map(str, words)])
