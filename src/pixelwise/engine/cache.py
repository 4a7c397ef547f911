"""The folder for what can be made or fetched again: $PIXELWISE_CACHE, else $XDG_CACHE_HOME/pixelwise, else ~/.cache."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for what can be made or fetched again."""
    own, shared = os.environ.get("PIXELWISE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    return (Path(shared) if shared else Path.home() / ".cache") / "pixelwise"
