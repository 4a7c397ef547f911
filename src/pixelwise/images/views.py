"""What of a photo is seen; it travels in the model file, which is read without torch."""

from dataclasses import dataclass

from pixelwise.errors import BadOption

MOST_SIDE = 8192


@dataclass(frozen=True, kw_only=True)
class View:
    """What of a photo is predicted: it is brought to a shorter side, and the middle `side` x `side` is seen."""

    side: int
    shorter: int

    def __post_init__(self) -> None:
        """Refuse sizes that leave nothing to see, or more than any memory holds."""
        if not 1 <= self.side <= self.shorter <= MOST_SIDE:
            came = f"side {self.side}, shorter {self.shorter}"
            raise BadOption(f"1 <= side <= shorter <= {MOST_SIDE} for the view of a photo", came, "Change them.")
