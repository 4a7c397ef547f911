"""Subgraphs of a network: their halos by hand, and what their maps need."""

from hypothesis import given
from hypothesis import strategies as st

from pixelwise.geometry.layer_graph import Branch, LayerSpec, Merge, Save, input_spans
from pixelwise.geometry.regions import Step, cut_span, output_spans, read_span, step_tiles
from pixelwise.geometry.subgraphs import Cost, NetworkStages, Subgraph, count_cost, subgraphs_at
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.subgraphs import staged

CONV = LayerSpec(name="conv", kind="convolution", kernel=3, padding=1, in_channels=2, channels=4)
POOL = LayerSpec(name="pool", kind="pooling", kernel=2, stride=2, in_channels=4, channels=4)
UP = LayerSpec(name="up", kind="nearest", stride=2, in_channels=4, channels=4)


def stages_of(**options: object) -> NetworkStages:
    found = staged(build(NetworkOptions(base=2, **options)))  # type: ignore[arg-type]
    assert found is not None
    return found.stages


def test_halos_of_a_plain_unet_by_hand() -> None:
    stages = stages_of(depth=2)
    assert stages.strides == (1, 1, 2, 4)
    # two convolutions, pooling, two convolutions at half the size: 2 + 2 x 2 pixels
    assert stages.halo(Subgraph(0, 2)) == 6
    # at half the size two convolutions: 2 x 2, then two at full size reach a pixel further; a multiple of 2
    assert stages.halo(Subgraph(0, 0, 2)) == 4
    assert stages.step_of(Subgraph(0, 2)) == 2
    assert stages.step_of(Subgraph(2, 2)) == 4


def test_inputs_that_are_not_saved_have_spans_of_their_own() -> None:
    graph = [Save("fine"), CONV, Branch("coarse"), UP, Merge("fine"), CONV]
    assert input_spans(graph, 10) == {"coarse": (4, 5), "": (9, 11)}


def test_work_is_counted_per_pixel_of_the_image() -> None:
    cost = count_cost([CONV, POOL, CONV], {"": (1, 2)})
    once = 9 * 2 * 4
    moved = (2 + 4) + (4 + 1) + (1 + 1)
    assert cost.work == once + once / 4 + 32 * moved
    assert cost.values == 2 + 4


def test_cost_does_not_depend_on_where_a_network_is_cut_except_for_repeated_skips() -> None:
    stages = stages_of(depth=3)
    whole = stages.cost(Subgraph(0, 0)).work
    every_level = sum(stages.cost(part).work for part in subgraphs_at([1, 2, 3]))
    assert whole <= every_level < 1.01 * whole
    skips = stages.cost(Subgraph(0, 1)).work
    assert sum(stages.cost(part).work for part in subgraphs_at([2, 3])) >= whole + 0.9 * skips


@given(
    size=st.integers(1, 60).map(lambda n: 8 * n),
    cuts=st.sampled_from([(1,), (2,), (3,), (1, 3), (2, 3), (1, 2, 3)]),
    data=st.data(),
)
def test_every_step_computes_what_later_ones_read(size: int, cuts: tuple[int, ...], data: st.DataObject) -> None:
    halos = {1: 4, 2: 8, 4: 16, 8: 24}
    steps = [
        Step(subgraph=part, halo=halos[multiple], multiple=multiple, cost=Cost(0.0, 0.0))
        for part in subgraphs_at(cuts)
        for multiple in [2 ** max(part.source, part.target, part.coarse or 0)]
    ]
    start = data.draw(st.integers(0, size - 1))
    region = (start, data.draw(st.integers(start + 1, size)))
    spans = output_spans(steps, region, size)
    assert spans[-1][0] <= region[0]
    assert spans[-1][1] >= region[1]
    outputs = {step.subgraph.output: span for step, span in zip(steps, spans, strict=True)}
    for step, span in zip(steps, spans, strict=True):
        assert span[0] % step.multiple == 0
        assert span[1] % step.multiple == 0 or span[1] == size
        core = step.multiple * data.draw(st.integers(1, 4))
        tiles = step_tiles(step, (span,), core, (size,))
        assert [tile.write[0] for tile in tiles] == cut_span(span, core)
        for tile in tiles:
            assert tile.read[0] == read_span(step, tile.write[0], size)
            for key in step.subgraph.inputs:
                low, high = outputs.get(key, (0, size))
                assert low <= tile.read[0][0]
                assert tile.read[0][1] <= high
