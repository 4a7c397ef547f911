"""Golden sizes of the papers, worked out by hand."""

import pytest

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry, Join, Skip, Step, derive_geometry, sizes_along


def conv(padding: int) -> Step:
    return Step(name="conv", kind="convolution", kernel=3, padding=padding)


def unet(depth: int, padding: int, up: str) -> list[Step | Skip | Join]:
    trail: list[Step | Skip | Join] = []
    for level in range(depth):
        trail += [conv(padding), conv(padding), Skip(str(level))]
        trail.append(Step(name="pool", kind="pooling", kernel=2, stride=2))
    trail += [conv(padding), conv(padding)]
    for level in reversed(range(depth)):
        trail.append(Step(name="up", kind=up, kernel=2 if up == "transposed" else 1, stride=2))  # type: ignore[arg-type]
        trail += [Join(str(level)), conv(padding), conv(padding)]
    return trail


def test_the_paper_of_2015() -> None:
    trail = unet(4, 0, "transposed")
    sizes = sizes_along(trail, 572)
    assert sizes is not None
    assert sizes[-1] == 388
    geometry = derive_geometry(trail)
    assert (geometry.margin, geometry.reach, geometry.receptive_field) == (92, 107, 204)
    legal = [n for n in range(100, 1000) if geometry.is_legal(n)]
    assert legal[:6] == [188, 204, 220, 236, 252, 268]
    assert len(legal) == 51
    assert [geometry.output_size(n) for n in legal[:4]] == [4, 20, 36, 52]
    assert all(sizes_along(trail, n) is None for n in range(100, 300) if n not in legal)


@pytest.mark.parametrize(
    ("depth", "up", "reach", "halo"),
    [
        (2, "bilinear", 26, 28),
        (2, "transposed", 23, 24),
        (3, "bilinear", 58, 56),
        (3, "nearest", 51, 48),
        (4, "bilinear", 122, 112),
        (4, "transposed", 107, 96),
        (5, "bilinear", 250, 224),
        (5, "nearest", 219, 192),
    ],
)
def test_reach_and_halo_of_padded_unets(depth: int, up: str, reach: int, halo: int) -> None:
    geometry = derive_geometry(unet(depth, 1, up))
    assert (geometry.reach, geometry.halo, geometry.margin) == (reach, halo, 0)
    assert geometry.total_stride == geometry.legal_first == 2**depth


def test_a_size_that_is_not_legal_names_the_next() -> None:
    geometry = Geometry(total_stride=16, reach=1, halo=16, margin=0, legal_first=16, legal_step=16, receptive_field=3)
    with pytest.raises(BadOption, match=r"expected a side of 16 \+ k x 16; got 100. The nearest larger one is 112"):
        geometry.check(100)


def test_arithmetic_is_written_out() -> None:
    assert conv(0).arithmetic(572) == "(572 - 3 + 0) / 1 + 1 = 570"
    up = Step(name="up", kind="transposed", kernel=2, stride=2)
    assert up.arithmetic(28) == "(28 - 1) x 2 - 0 + 2 = 56"
    assert Step(name="up", kind="bilinear", stride=2).arithmetic(28) == "28 x 2 = 56"
