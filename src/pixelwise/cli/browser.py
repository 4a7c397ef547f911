"""Pages in the web browser of the user."""

import webbrowser
from pathlib import Path


def open_page(page: Path) -> str:
    """Open a page in the web browser.

    Parameters
    ----------
    page : Path
        A file that is there.

    Returns
    -------
    str
        One sentence: that it was opened or, where no browser can be started, which file to open elsewhere.
    """
    where = page.resolve()
    try:
        opened = webbrowser.open(where.as_uri())
    except webbrowser.Error:
        opened = False
    return f"Opened {page} in the web browser." if opened else f"No web browser was found here. Open this file: {where}"
