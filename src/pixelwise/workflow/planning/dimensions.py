"""What a network sees of a volume: three dimensions, a slice with its neighbours as channels (2.5-D), or single slices.

Where voxels are about as long along all axes, three dimensions are the default of nnU-Net (Isensee et al. 2021, doi
10.1038/s41592-020-01008-z), whose three-dimensional configurations are the better ones on nearly all such data. The
farther slices are apart, the less a neighbour says about a slice, and the more a patch of few slices costs: there the
data decides, in a race (`race`) if the time allows.
"""

from dataclasses import dataclass

from pixelwise.sampling.resample import coarse_axis

AXES = ("depth", "height", "width")
VERY_COARSE = 8.0  # times the spacing within slices, above which a neighbouring slice tells little about one
FEW_SLICES = 8  # with fewer there is nothing to pool along the coarse axis
MIN_EDGE = 4  # voxels of a map along an axis that was pooled
CONTEXT, COARSE_CONTEXT = 2, 1  # neighbouring slices on each side in 2.5-D, and of slices that are far apart
NAMES = {2.0: "2-D", 2.5: "2.5-D", 3.0: "3-D"}

Size = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Views:
    """The views of a volume that come into question.

    Attributes
    ----------
    dimensions : tuple of float
        The one that is taken without a race first.
    axis : int
        Across the slices, for views of slices.
    why : str
        The reason, without a full stop.
    """

    dimensions: tuple[float, ...]
    axis: int
    why: str


def propose_views(size: Size, spacing: tuple[float, ...]) -> Views:
    """Return the views of volumes of `size` with voxels of `spacing`, in any unit.

    Examples
    --------
    >>> propose_views((40, 256, 256), (5.0, 1.0, 1.0)).dimensions, propose_views((40, 50, 60), (1.0,) * 3).dimensions
    ((3.0, 2.5, 2.0), (3.0,))
    """
    axis = coarse_axis(spacing)
    if axis is None:
        thinnest = min(range(3), key=lambda place: size[place])
        if size[thinnest] < MIN_EDGE:
            return Views(dimensions=(2.0,), axis=thinnest, why=f"There are {size[thinnest]} slices along an axis")
        # slices across the longest voxels; of equals the first axis, along which scans are usually read
        across = max(range(3), key=lambda place: (round(spacing[place], 3), -place))
        why = "Voxels are about as long along all axes: neighbouring slices are near enough to help"
        return Views(dimensions=(3.0,), axis=across, why=why)
    others = [side for place, side in enumerate(spacing) if place != axis]
    ratio = spacing[axis] / max(others)
    why = f"Slices along the {AXES[axis]} are {ratio:.1f} times as far apart as pixels, and there are {size[axis]}"
    if ratio >= VERY_COARSE or size[axis] < FEW_SLICES:
        return Views(dimensions=(2.0, 2.5) if size[axis] > 1 else (2.0,), axis=axis, why=why)
    return Views(dimensions=(3.0, 2.5, 2.0), axis=axis, why=why)


def plan_context(size: Size, spacing: tuple[float, ...], axis: int) -> int:
    """Return the neighbouring slices on each side in 2.5-D: fewer of slices that are far apart, at most all there are.

    Examples
    --------
    >>> plan_context((40, 256, 256), (5.0, 1.0, 1.0), 0), plan_context((40, 50, 60), (1.0, 1.0, 1.0), 0)
    (1, 2)
    """
    wanted = CONTEXT if coarse_axis(spacing) is None else COARSE_CONTEXT
    return max(1, min(wanted, size[axis] - 1))


def describe_view(dimensions: float, views: Views) -> str:
    """Return the reason for a view without a race."""
    if dimensions == 3.0:
        return f"{views.why}: a network in three dimensions."
    if dimensions == 2.5:
        return f"{views.why}: slices with their neighbours as channels."
    return f"{views.why}: each is segmented by itself, as in two dimensions."
