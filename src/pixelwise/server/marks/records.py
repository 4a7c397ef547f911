"""Marks as records: strokes, polygons, corrected objects and the undo of another mark.

Coordinates are (x, y) in pixels of the image, from its top left corner: the first pixel covers 0 to 1.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

UNKNOWN = -1
"""Class of an eraser: the pixels are unknown again, as if never painted."""

HELD_OUT_EVERY, HELD_OUT_FIRST = 5, 3
"""Which marks of a class are for validation, if there are few images."""

MAX_POINTS = 20_000
MAX_CLASSES = 254
MAX_OUTLINE = 200_000
MAX_OBJECTS = 5_000

Coordinate = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
ClassIndex = Annotated[int, Field(ge=UNKNOWN, lt=MAX_CLASSES)]


class _Mark(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(default="", max_length=64)
    """Made by the page, so that a mark that is sent twice counts once."""


class Stroke(_Mark):
    """A line of a brush with a radius in pixels of the image."""

    kind: Literal["stroke"]
    class_index: ClassIndex
    radius: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
    points: list[Point] = Field(min_length=1, max_length=MAX_POINTS)


class Polygon(_Mark):
    """A filled polygon."""

    kind: Literal["polygon"]
    class_index: ClassIndex
    points: list[Point] = Field(min_length=3, max_length=MAX_POINTS)


class Outline(BaseModel):
    """An object: closed rings, filled by the even-odd rule, so that a ring inside another one is a hole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_index: Annotated[int, Field(ge=0, lt=MAX_CLASSES)]
    rings: list[Annotated[list[Point], Field(min_length=3, max_length=MAX_OUTLINE)]] = Field(min_length=1)


Action = Literal["accept", "delete", "merge", "split", "frame"]


class Objects(_Mark):
    """Objects that a user corrected or confirmed, each with its outline; class 0: there is no object.

    In a frame (left, top, right, bottom), everything that is not one of the objects is background.
    """

    kind: Literal["objects"]
    action: Action
    objects: list[Outline] = Field(max_length=MAX_OBJECTS)
    frame: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None


class Undo(_Mark):
    """Takes back another mark; the undo of an undo brings it back."""

    kind: Literal["undo"]
    of: Annotated[int, Field(ge=1)]


Mark = Stroke | Polygon | Objects | Undo
Shape = Stroke | Polygon | Objects

_ADAPTER: TypeAdapter[Mark] = TypeAdapter(Annotated[Mark, Field(discriminator="kind")])


def parse_mark(text: bytes | str) -> Mark:
    """Return a mark from JSON; raises pydantic's ValidationError."""
    return _ADAPTER.validate_json(text)


def mark_from_record(record: dict[str, Any]) -> Mark:
    """Return a mark from a record of a journal, which also holds `id` and `at`."""
    return _ADAPTER.validate_python({key: value for key, value in record.items() if key not in ("id", "at")})


def teach_objects(shapes: Iterable[Shape]) -> bool:
    """Return whether shapes teach separate objects: some are whole objects, and no object was painted with a brush.

    A stroke of the background or of the eraser is no object; a polygon is one.

    Examples
    --------
    >>> whole = Polygon(kind="polygon", class_index=1, points=[(0, 0), (4, 0), (0, 4)])
    >>> dab = Stroke(kind="stroke", class_index=1, radius=2, points=[(9, 9)])
    >>> accepted = Objects(kind="objects", action="accept", objects=[Outline(class_index=1, rings=[whole.points])])
    >>> teach_objects([accepted, whole]), teach_objects([accepted, dab]), teach_objects([whole])
    (True, False, False)
    """
    shapes = list(shapes)
    painted = any(isinstance(shape, Stroke) and shape.class_index > 0 for shape in shapes)
    return not painted and any(isinstance(shape, Objects) for shape in shapes)


def active_shapes(marks: Iterable[tuple[int, Mark]]) -> list[tuple[int, Shape]]:
    """Return the shapes that are not undone, in the order in which they were painted.

    Examples
    --------
    >>> dot = Stroke(kind="stroke", class_index=1, radius=2, points=[(0, 0)])
    >>> undo, redo = Undo(kind="undo", of=1), Undo(kind="undo", of=2)
    >>> len(active_shapes([(1, dot), (2, undo)])), len(active_shapes([(1, dot), (2, undo), (3, redo)]))
    (0, 1)
    """
    marks = list(marks)
    undone: set[int] = set()
    for number, mark in reversed(marks):
        if isinstance(mark, Undo) and number not in undone:
            undone.add(mark.of)
    return [(number, mark) for number, mark in marks if not isinstance(mark, Undo) and number not in undone]


def held_out_marks(marks: Iterable[tuple[int, Mark]]) -> set[int]:
    """Return the ids of the marks that are held out for validation: every fifth of a class, beginning with the third.

    Marks that are undone count too, so that a mark stays on its side for as long as it exists.

    Examples
    --------
    >>> dot = Stroke(kind="stroke", class_index=1, radius=2, points=[(0, 0)])
    >>> sorted(held_out_marks((number, dot) for number in range(1, 10)))
    [3, 8]
    """
    seen: Counter[int] = Counter()
    held_out: set[int] = set()
    for number, mark in marks:
        if isinstance(mark, Undo):
            continue
        index = mark.class_index if isinstance(mark, Stroke | Polygon) else _first_class(mark)
        seen[index] += 1
        if seen[index] % HELD_OUT_EVERY == HELD_OUT_FIRST:
            held_out.add(number)
    return held_out


def _first_class(mark: Objects) -> int:
    return mark.objects[0].class_index if mark.objects else 0
