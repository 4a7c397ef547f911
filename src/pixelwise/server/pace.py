"""How fast predictions are, and how long what waits will take: measured on the predictions that were answered."""

_KEPT = 0.9
"""Weight of what was measured before, for each batch: the last ten or so count."""


class Pace:
    """The seconds that the worker takes for a pixel while it has work.

    Examples
    --------
    >>> pace = Pace()
    >>> pace.seconds(pixels=9000, unknown=1)  # nothing was measured yet
    0.0
    >>> pace.note(1, 1000, began=0.0, ended=2.0)
    >>> pace.seconds(pixels=3000, unknown=1)
    8.0
    """

    def __init__(self) -> None:
        self._seconds = self._pixels = self._requests = 0.0
        self._ended = 0.0

    def note(self, requests: int, pixels: int, began: float, ended: float) -> None:
        """Note a batch that was computed; of batches that overlap, only the time since the last one ended counts."""
        seconds = max(0.0, ended - max(began, self._ended))
        self._ended = max(ended, self._ended)
        self._seconds = _KEPT * self._seconds + seconds
        self._pixels = _KEPT * self._pixels + pixels
        self._requests = _KEPT * self._requests + requests

    def seconds(self, pixels: int, unknown: int = 0) -> float:
        """Return how long so many pixels take, and so many images of unknown size; 0 if nothing was measured."""
        if not self._pixels:
            return 0.0
        return self._seconds / self._pixels * (pixels + unknown * self._pixels / self._requests)
