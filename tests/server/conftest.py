"""A server in this process, of a model made by hand, with its workers in processes of their own."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from starlette.testclient import TestClient

from bright import drawn_image, write_bright_model
from pixelwise.io.write import png_bytes, write_image
from pixelwise.server.limits import Limits
from pixelwise.server.project import Project
from pixelwise.server.service import ServeOptions, Service
from pixelwise.server.studio import Studio
from studio_client import running


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that finds bright objects."""
    path = tmp_path_factory.mktemp("models") / "cells.safetensors"
    write_bright_model(path)
    return path


@pytest.fixture(scope="session")
def png() -> bytes:
    """An image file that the model fits."""
    return png_bytes(drawn_image())


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five images with masks of two classes."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(5):
        image = drawn_image(number)
        mask = ndimage.uniform_filter(image.astype(float), (1, 3, 3)) > 110
        write_image(folder / "images" / f"{number}.png", image)
        write_image(folder / "masks" / f"{number}.png", mask * np.uint8(255))
    return folder


@pytest.fixture(scope="session")
def studio(service: Service, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """The page of the server."""
    return Studio(service, Project(tmp_path_factory.mktemp("project")), [data])


@pytest.fixture(scope="session")
def service(model: Path) -> Service:
    """The service behind `client`."""
    return Service([model], Limits(max_megapixels=4, max_megabytes=8), ServeOptions(runtime="torch"))


@pytest.fixture(scope="session")
def client(service: Service, studio: Studio) -> Generator[TestClient]:
    """A client with the token of a running server."""
    with running(service, studio) as client:
        yield client
