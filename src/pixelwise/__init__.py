"""pixelwise: from a folder of images and masks to a segmentation model that can be trusted.

Each verb is one function; they are loaded on first use, so that `import pixelwise` costs nothing.
"""

TYPE_CHECKING = False  # what checkers of types read as true; the module `typing` takes longer than all that is here

if TYPE_CHECKING:
    from typing import Any

    from pixelwise.active_learning.forecast import forecast
    from pixelwise.datasets.dataset import DataOptions
    from pixelwise.errors import PixelwiseError
    from pixelwise.version import __version__
    from pixelwise.workflow.demo import demo
    from pixelwise.workflow.evaluate import evaluate
    from pixelwise.workflow.export import export
    from pixelwise.workflow.inspect import inspect
    from pixelwise.workflow.predict import load, predict
    from pixelwise.workflow.report import report
    from pixelwise.workflow.run import Run
    from pixelwise.workflow.train import train
    from pixelwise.workflow.verify import verify

__all__ = [
    "DataOptions",
    "PixelwiseError",
    "Run",
    "__version__",
    "demo",
    "evaluate",
    "export",
    "forecast",
    "inspect",
    "load",
    "predict",
    "report",
    "train",
    "verify",
]

_PLACES = {
    "DataOptions": "pixelwise.datasets.dataset",
    "PixelwiseError": "pixelwise.errors",
    "__version__": "pixelwise.version",
    "Run": "pixelwise.workflow.run",
    "demo": "pixelwise.workflow.demo",
    "evaluate": "pixelwise.workflow.evaluate",
    "export": "pixelwise.workflow.export",
    "forecast": "pixelwise.active_learning.forecast",
    "inspect": "pixelwise.workflow.inspect",
    "load": "pixelwise.workflow.predict",
    "predict": "pixelwise.workflow.predict",
    "report": "pixelwise.workflow.report",
    "train": "pixelwise.workflow.train",
    "verify": "pixelwise.workflow.verify",
}


def __getattr__(name: str) -> "Any":
    """Load a name of the public face on first use."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module 'pixelwise' has no attribute {name!r}; it has: {', '.join(__all__)}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public face."""
    return __all__
