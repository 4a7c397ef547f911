"""Where the samples of an array are in space: axes, spacing, origin and direction, and the turn to standard axes.

The world frame is that of NIfTI, called RAS+: x grows to the right of the patient, y to the front, z to the head, in
millimetres. ITK and DICOM use LPS+, where x and y have the other sign; readers convert. Sources: NIfTI-1 standard
(nifti1.h, "3D image (volume) orientation and location in space"); the manual of ITK, section 4.1.4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
from jaxtyping import Float64, Shaped

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # of falling and rising x, y, z
_PER_MILLIMETRE = {"nanometer": 1e-6, "micrometer": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "meter": 1e3}

VOLUME_AXES = ("z", "y", "x")
_FARTHEST = 1e100  # squares of larger coordinates are infinite


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The grid of an array's samples, without its channel axis.

    Attributes
    ----------
    axes : tuple of str
        Names in array order: ("z", "y", "x") or ("y", "x").
    spacing : tuple of float
        Distance between samples along each axis, in array order; above 0.
    unit : str or None
        Of spacing and origin, in the words of OME-NGFF, such as "millimeter"; None if unknown.
    origin : tuple of float or None
        World coordinates (x, y, z) of the centre of the first sample, RAS+.
    direction : tuple of tuple or None
        Rows are the world axes x, y, z; columns the array axes in array order: the direction of length 1 in which the
        index grows. Columns of a sheared grid are not orthogonal. None if only the spacing is known.

    Examples
    --------
    >>> grid = Grid.from_affine(np.diag([-1.0, 1.0, 2.5, 1.0]))
    >>> grid.spacing, grid.orientation
    ((2.5, 1.0, 1.0), 'LAS')
    """

    axes: tuple[str, ...]
    spacing: tuple[float, ...]
    unit: str | None = None
    origin: tuple[float, ...] | None = None
    direction: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        count = len(self.axes)
        if len(self.spacing) != count or not all(0 < side < math.inf for side in self.spacing):
            raise ValueError(f"a spacing above 0 for each of {self.axes}, not {self.spacing}")
        if (self.origin is None) != (self.direction is None):
            raise ValueError("origin and direction together, or none of them")
        if self.direction is not None and any(len(row) != count for row in self.direction):
            raise ValueError(f"a direction with {count} columns")

    @classmethod
    def from_affine(cls, affine: Float64[np.ndarray, "4 4"], unit: str | None = "millimeter") -> "Grid":
        """Return the grid of a volume from the matrix that maps its indices (x, y, z) to RAS+ coordinates.

        Raises
        ------
        ValueError
            The matrix is not finite, or maps the volume to a plane.
        """
        steps = np.asarray(affine, np.float64)[:3, :3]
        if not (np.abs(affine) < _FARTHEST).all() or not (spacing := np.linalg.norm(steps, axis=0)).all():  # NaN too
            raise ValueError("a finite matrix with steps above 0")
        direction = steps / spacing
        if abs(np.linalg.det(direction)) < 1e-6:
            raise ValueError("three independent directions")
        return cls(
            axes=VOLUME_AXES,
            spacing=tuple(float(side) for side in spacing[::-1]),
            unit=unit,
            origin=tuple(float(value) for value in affine[:3, 3]),
            direction=tuple(tuple(float(value) for value in row[::-1]) for row in direction),
        )

    @property
    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """The matrix that maps indices (x, y, z) to world coordinates, as in NIfTI; without a place, the spacing."""
        matrix = np.eye(4)
        if self.direction is None or self.origin is None:
            matrix[:3, :3] = np.diag(self.spacing[::-1])
        else:
            matrix[:3, :3] = (np.array(self.direction) * np.array(self.spacing))[:, ::-1]
            matrix[:3, 3] = self.origin
        return matrix

    @property
    def orientation(self) -> str:
        """The letters of nibabel for the index axes x, y, z: "RAS" if they grow to right, front and head; else ""."""
        if self.direction is None:
            return ""
        world, signs = _nearest_axes(np.array(self.direction))
        return "".join(_LETTERS[axis][sign > 0] for axis, sign in zip(world[::-1], signs[::-1], strict=True))

    @property
    def millimetres(self) -> tuple[float, ...] | None:
        """The spacing in millimetres; None if the unit is unknown."""
        factor = _PER_MILLIMETRE.get(self.unit or "")
        return None if factor is None else tuple(side * factor for side in self.spacing)

    def in_millimetres(self) -> "Grid":
        """Return the grid in millimetres; as it is if its unit is unknown.

        Examples
        --------
        >>> Grid(axes=("y", "x"), spacing=(500.0, 250.0), unit="micrometer").in_millimetres().spacing
        (0.5, 0.25)
        """
        factor = _PER_MILLIMETRE.get(self.unit or "")
        if factor is None or self.unit == "millimeter":
            return self
        origin = None if self.origin is None else tuple(value * factor for value in self.origin)
        spacing = tuple(side * factor for side in self.spacing)
        return replace(self, spacing=spacing, origin=origin, unit="millimeter")

    @property
    def turn(self) -> "Turn":
        """The change of axes after which an array on this grid grows like z, y and x of the world, as far as it can."""
        if self.direction is None:
            return Turn(order=tuple(range(len(self.axes))), flips=(False,) * len(self.axes))
        world, signs = _nearest_axes(np.array(self.direction))
        order = tuple(world.index(axis) for axis in (2, 1, 0))
        return Turn(order=order, flips=tuple(signs[axis] < 0 for axis in order))

    def turned(self, turn: "Turn", shape: Sequence[int]) -> "Grid":
        """Return the grid of an array of this shape after `turn.apply`.

        Examples
        --------
        >>> stored = Grid.from_affine(np.array([[0.0, 2, 0, 5], [-1, 0, 0, 7], [0, 0, 3, 1], [0, 0, 0, 1]]))
        >>> stored.orientation, stored.turned(stored.turn, (4, 5, 6)).orientation
        ('PRS', 'RAS')
        """
        spacing = tuple(self.spacing[axis] for axis in turn.order)
        if self.direction is None or self.origin is None:
            return Grid(axes=self.axes, spacing=spacing, unit=self.unit)
        direction, origin = np.array(self.direction)[:, turn.order], np.array(self.origin)
        for column, (axis, flip) in enumerate(zip(turn.order, turn.flips, strict=True)):
            if flip:
                origin = origin + direction[:, column] * self.spacing[axis] * (shape[axis] - 1)
                direction[:, column] *= -1
        rows = tuple(tuple(float(value) for value in row) for row in direction)
        place = tuple(float(value) for value in origin)
        return Grid(axes=self.axes, spacing=spacing, unit=self.unit, origin=place, direction=rows)

    def difference(self, other: "Grid", shape: Sequence[int], tolerance: float = 0.1) -> str:
        """Return how another grid of the same shape differs from this one, in words; "" if it does not.

        What one of them does not state is no difference.

        Parameters
        ----------
        shape : sequence of int
            Of the arrays on both grids.
        tolerance : float
            Largest distance between samples of equal index, as a fraction of the smallest spacing: half a voxel would
            give a mask to its neighbours, and rounded headers stay far below a tenth.

        Examples
        --------
        >>> grid = Grid(axes=("z", "y", "x"), spacing=(3.0, 1.0, 1.0), unit="millimeter")
        >>> grid.difference(Grid(axes=("z", "y", "x"), spacing=(1.0, 1.0, 1.0), unit="millimeter"), (4, 4, 4))
        'spacing 3 x 1 x 1 and 1 x 1 x 1'
        """
        if None in (self.unit, other.unit):
            return ""  # a file without a scale lies on any
        if self.unit != other.unit:
            return f"units {self.unit} and {other.unit}"
        limit = tolerance * min(self.spacing)
        reach = [limit / max(1, count - 1) for count in shape]  # what adds up to the limit at the last sample
        pairs = zip(self.spacing, other.spacing, reach, strict=True)
        if any(abs(one - two) > most for one, two, most in pairs):
            return f"spacing {describe_spacing(self.spacing)} and {describe_spacing(other.spacing)}"
        if self.direction is None or other.direction is None or self.origin is None or other.origin is None:
            return ""
        corners = np.array([[*corner, 1] for corner in product(*((0, count - 1) for count in reversed(shape)))])
        if np.linalg.norm((self.affine - other.affine) @ corners.T, axis=0).max() <= limit:
            return ""
        if self.orientation != other.orientation:
            return f"orientations {self.orientation} and {other.orientation}"
        if not np.allclose(self.direction, other.direction, atol=1e-3):
            return "different directions of the axes"
        return f"origins {_describe(self.origin)} and {_describe(other.origin)}"


@dataclass(frozen=True)
class Turn:
    """A change of the order and direction of array axes; exact, without interpolation.

    Attributes
    ----------
    order : tuple of int
        The old axis that each new axis comes from.
    flips : tuple of bool
        New axes that run the other way.

    Examples
    --------
    >>> turn, array = Turn((1, 0), (True, False)), np.arange(6).reshape(2, 3)
    >>> turn.apply(array).tolist(), bool((turn.undo(turn.apply(array)) == array).all())
    ([[2, 5], [1, 4], [0, 3]], True)
    """

    order: tuple[int, ...]
    flips: tuple[bool, ...]

    def apply(self, array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Return a view of an array whose last axes are turned."""
        lead = array.ndim - len(self.order)
        moved = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        return moved[(..., *(slice(None, None, -1 if flip else None) for flip in self.flips))]

    @classmethod
    def of_orientation(cls, letters: str) -> "Turn":
        """Return the turn to the standard axes of an array whose `Grid.orientation` is this; none for "".

        Examples
        --------
        >>> Turn.of_orientation("PRS")
        Turn(order=(0, 2, 1), flips=(False, True, False))
        """
        if not letters:
            return cls((0, 1, 2), (False,) * 3)
        world = [next(axis for axis, pair in enumerate(_LETTERS) if letter in pair) for letter in letters[::-1]]
        order = tuple(world.index(axis) for axis in (2, 1, 0))
        return cls(order, tuple(letters[2 - axis] in "LPI" for axis in order))

    def undo(self, array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Return a view of an array that `apply` turned, as it was."""
        lead = array.ndim - len(self.order)
        back = array[(..., *(slice(None, None, -1 if flip else None) for flip in self.flips))]
        return back.transpose(*range(lead), *(lead + self.order.index(axis) for axis in range(len(self.order))))


def millimetres_of(grid: Grid | None) -> tuple[float, ...] | None:
    """Return the spacing of a volume in millimetres; None for an image, which has no grid, or an unknown unit."""
    return None if grid is None else grid.millimetres


def describe_spacing(spacing: Sequence[float]) -> str:
    """Return a spacing in words.

    Examples
    --------
    >>> describe_spacing((3.0, 0.78125, 0.78125))
    '3 x 0.78125 x 0.78125'
    """
    return " x ".join(f"{side:.6g}" for side in spacing)


def _describe(origin: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.5g}' for value in origin)})"


def _nearest_axes(direction: Float64[np.ndarray, "3 3"]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return for each column the world axis that it follows most, each axis once, and the sign."""
    chosen = max(permutations(range(3)), key=lambda axes: sum(abs(direction[axes[c], c]) for c in range(3)))
    return chosen, tuple(float(np.sign(direction[chosen[c], c])) or 1.0 for c in range(3))
