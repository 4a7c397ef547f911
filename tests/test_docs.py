"""The documentation: its code runs, and its numbers are computed."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scipy import signal

from pixelwise.networks import architectures
from pixelwise.networks.architectures import ALWAYS_READ, ARCHITECTURES, build_segmenter, published_options
from pixelwise.networks.decoders import UNetDecoder
from pixelwise.networks.models import make_segmenter
from pixelwise.networks.options import NetworkOptions

DOCS = Path(__file__).resolve().parents[1] / "docs"
MOST_BYTES = 300_000  # of a picture


def load(path: Path, name: str) -> ModuleType:
    """Import a file as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def code_of(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's code, run unchanged; registrations are undone afterwards."""
    before = dict(ARCHITECTURES)
    path = tmp_path / "page.py"
    path.write_text("\n".join(code_of("add-a-network.md")), "utf-8")
    yield load(path, "page")
    registered = architectures.ARCHITECTURES
    for name in set(registered) - set(before):
        del registered[name]
        del architectures.SEGMENTERS[name]
    assert dict(ARCHITECTURES) == before


def test_a_network_is_added_in_thirty_lines(added: ModuleType) -> None:
    builder = code_of("add-a-network.md")[0]
    body = builder[builder.index("def ") :].strip().splitlines()
    assert len(body) <= 30
    assert "strided_unet" in ARCHITECTURES
    network = build_segmenter(NetworkOptions(name="strided_unet", base=4, depth=3, in_channels=3, classes=5))
    geometry = network.geometry()
    for places in ((0, 0), (0, 3), (5, 2)):
        height, width = (geometry.legal_first + geometry.legal_step * place for place in places)
        logits = network(torch.randn(2, 3, height, width))
        assert logits.shape == (2, 5, geometry.output_size(height), geometry.output_size(width))
    logits.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    messages = sum(layer.parameters for layer in network.layers(64))
    assert messages == sum(parameter.numel() for parameter in network.parameters())


def test_what_the_page_prints_is_true(capsys: pytest.CaptureFixture[str], added: ModuleType) -> None:
    lines = re.findall(r"(\d+) -> \((\d+), (\d+)\) as foretold: (\d+)", capsys.readouterr().out)
    assert len(lines) == 2
    for side, height, width, foretold in lines:
        assert side == height == width == foretold


def test_the_part_of_the_page_fits_into_a_network(added: ModuleType) -> None:
    base = build_segmenter(NetworkOptions(name="strided_unet", base=4, depth=1))
    decoder = UNetDecoder(
        [4, 8],
        [4],
        make_up=lambda name, source, skip: added.Up(name, source, skip, "nearest"),
        make_block=added.WideBlock,
    )
    network = make_segmenter(base.encoder, decoder, base.head, normalisation="batch")  # type: ignore[arg-type]
    assert network(torch.zeros(1, 1, 20, 12)).shape == (1, 2, 20, 12)
    assert network.geometry().reach == base.geometry().reach, "5 x 5 once reaches as far as 3 x 3 twice"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return load(DOCS / "make_how_a_unet_sees.py", "make_how_a_unet_sees")


def test_how_a_unet_sees_is_what_its_script_writes(maker: ModuleType) -> None:
    assert (DOCS / "how-a-unet-sees.md").read_text("utf-8") == maker.page(), "run python docs/make_how_a_unet_sees.py"


def test_the_numbers_of_the_page_are_right(maker: ModuleType) -> None:
    """By hand, by scipy, and from the figure of the paper."""
    image = [[0, 0, 9, 9, 0]] * 5
    expected = signal.correlate2d(image, maker.EDGE, mode="valid").tolist()
    assert expected == [[27, 27, -27]] * 3
    parts = {**maker.convolution(), **maker.pooling(), **maker.network(), **maker.residual()}
    assert "27   27  -27     27  27   0" in parts["convolution"]
    assert parts["pooling"].splitlines()[1:3] == [
        "1  3  0  0     8  4         3.5     1",
        "2  8  0  4     6  1        5.25     1",
    ]
    assert parts["plain_gradient"] == f"{0.5**10:.4f}"
    assert parts["residual_gradient"] == f"{1.5**10:.1f}"
    stages = [[cell.strip() for cell in row.split("|")[1:-1]] for row in parts["stages"].splitlines()[2:]]
    assert [row[2].split()[0] for row in stages[:5]] == ["568", "280", "136", "64", "28"], "figure 1 of the paper"
    assert [row[4].split()[0] for row in stages[:5]] == ["5", "14", "32", "68", "140"]
    geometry = build_segmenter(published_options("unet2015")).geometry()
    assert stages[-1][4] == f"{geometry.receptive_field} x {geometry.receptive_field}"


def test_the_page_of_networks_is_what_the_registry_says() -> None:
    maker = load(DOCS / "make_networks.py", "make_networks")
    assert (DOCS / "networks.md").read_text("utf-8") == maker.page(), "run python docs/make_networks.py"
    for network in ARCHITECTURES.values():
        (row,) = (line for line in maker.page().splitlines() if f"`{network.name}`" in line and network.paper in line)
        assert all(f"`{option}`" in row for option in network.reads if option not in ALWAYS_READ)


@pytest.mark.parametrize("picture", sorted((DOCS / "pictures").glob("*.[pw]*")), ids=lambda path: path.name)
def test_pictures_are_small(picture: Path) -> None:
    assert picture.stat().st_size < MOST_BYTES


def test_the_data_flow_is_what_its_script_draws() -> None:
    maker = load(DOCS / "make_data_flow.py", "make_data_flow")
    assert (DOCS / "pictures" / "data-flow.svg").read_text("utf-8") == maker.svg(), "run python docs/make_data_flow.py"


def missing_paths(text: str) -> list[str]:
    """Return the paths in backticks that begin with a folder of the project or of the package, and lead nowhere."""
    root = DOCS.parent
    places = (root, root / "src" / "pixelwise")
    named = set(re.findall(r"`([\w.-]+/[\w./-]*)`", text))
    ours = [name for name in named if any((place / name.split("/")[0]).is_dir() for place in places)]
    return sorted(n for n in ours if not any((p / end).exists() for p in places for end in (n, f"{n}.py")))


@pytest.mark.parametrize(
    "page",
    [page for folder in (DOCS.parent, DOCS, DOCS.parent / "benchmarks") for page in sorted(folder.glob("*.md"))],
    ids=lambda page: page.name,
)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    assert missing_paths(page.read_text("utf-8")) == []


def test_the_search_for_paths_finds_those_that_are_gone() -> None:
    text = "`io/read.py`, `io/gone.py`, `inference/load`, `inference/gone`, `tests/gone/`, `other/gone.py`, `io/`"
    assert missing_paths(text) == ["inference/gone", "io/gone.py", "tests/gone/"]


def test_the_architecture_names_every_benchmark() -> None:
    page = (DOCS.parent / "ARCHITECTURE.md").read_text("utf-8")
    named = set(re.findall(r"\w+", page[page.index("## Benchmarks") :]))
    assert {path.stem for path in (DOCS.parent / "benchmarks").glob("*.py")} - named == set()
