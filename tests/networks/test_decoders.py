"""Decoders: maps of the encoder are freed as soon as they were used."""

import weakref

import pytest
import torch
from torch import Tensor

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.decoders import UNetDecoder


def _maps() -> tuple[UNetDecoder, list[Tensor]]:
    network = build(NetworkOptions(base=2, depth=3)).eval()
    decoder = network.decoder
    assert isinstance(decoder, UNetDecoder)
    with torch.inference_mode():
        return decoder, network.encoder(torch.rand(1, 1, 32, 32))


@pytest.mark.parametrize("emptied", [True, False])
def test_a_list_of_maps_is_emptied_from_the_coarsest_on(emptied: bool) -> None:
    decoder, maps = _maps()
    references, alive = [weakref.ref(values) for values in maps], list[int]()
    for block in decoder.blocks:
        block.register_forward_pre_hook(lambda *_: alive.append(sum(one() is not None for one in references)))
    given = maps if emptied else tuple(maps)  # a tuple, which keeps all, is the control
    del maps
    with torch.inference_mode():
        decoder(given)
    assert alive == ([2, 1, 0] if emptied else [4, 4, 4])
    assert len(given) == (0 if emptied else 4)


def test_the_features_do_not_depend_on_the_kind_of_sequence() -> None:
    decoder, maps = _maps()
    with torch.inference_mode():
        expected = decoder(tuple(maps))
        assert torch.equal(decoder(maps), expected)
