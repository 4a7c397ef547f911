"""A case: an image with its annotation, or with its class."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.annotations import Annotation
from pixelwise.datasets.records import Split


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image with its annotation, or with its class.

    Attributes
    ----------
    name : str
        Unique in the data set, such as "train/slice_00".
    channel_files : tuple of Path
        Files of one channel each, in order, if the image is stored so; `image` is the first.
    split : str
        "train", "val" or "test".
    group : str
        Cases of one group stay together in a random split.
    class_index : int or None
        Class of the whole image, for task "classification".
    label_set : frozenset
        The values in the annotation; for instances 1 (object) and 0 (background); or the class of the whole image.
    """

    name: str
    image: Path
    annotation: Annotation | None = None
    split: Split
    channel_files: tuple[Path, ...] = ()
    group: str = ""
    class_index: int | None = None
    label_set: frozenset[Hashable] = frozenset()

    @property
    def labelled(self) -> bool:
        """Whether it has an annotation or a class."""
        return self.annotation is not None or self.class_index is not None
