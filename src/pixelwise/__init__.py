"""pixelwise: train, evaluate and export segmentation and classification models from a folder of images.

Each command is one function. They are loaded on first use, so that `import pixelwise` is fast.
"""

TYPE_CHECKING = False  # type checkers treat it as true; importing `typing` takes longer than this whole module

if TYPE_CHECKING:
    from typing import Any

    from pixelwise.active_learning.forecast import forecast
    from pixelwise.datasets.dataset import load_dataset
    from pixelwise.datasets.options import DataOptions
    from pixelwise.errors import PixelwiseError
    from pixelwise.text import __version__
    from pixelwise.workflow.convert import convert
    from pixelwise.workflow.demo import demo
    from pixelwise.workflow.doctor import doctor
    from pixelwise.workflow.evaluate import evaluate
    from pixelwise.workflow.export import export
    from pixelwise.workflow.inspect import inspect
    from pixelwise.workflow.predict import load, predict
    from pixelwise.workflow.prediction.options import PredictOptions
    from pixelwise.workflow.report import report
    from pixelwise.workflow.run import Run
    from pixelwise.workflow.train import train
    from pixelwise.workflow.verify import verify

__all__ = [
    "DataOptions",
    "PixelwiseError",
    "PredictOptions",
    "Run",
    "__version__",
    "convert",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "forecast",
    "inspect",
    "load",
    "load_dataset",
    "predict",
    "report",
    "train",
    "verify",
]

_MODULES = {
    "DataOptions": "pixelwise.datasets.dataset",
    "PixelwiseError": "pixelwise.errors",
    "PredictOptions": "pixelwise.workflow.prediction.options",
    "__version__": "pixelwise.text",
    "Run": "pixelwise.workflow.run",
    "convert": "pixelwise.workflow.convert",
    "demo": "pixelwise.workflow.demo",
    "doctor": "pixelwise.workflow.doctor",
    "evaluate": "pixelwise.workflow.evaluate",
    "export": "pixelwise.workflow.export",
    "forecast": "pixelwise.active_learning.forecast",
    "inspect": "pixelwise.workflow.inspect",
    "load": "pixelwise.workflow.predict",
    "load_dataset": "pixelwise.datasets.dataset",
    "predict": "pixelwise.workflow.predict",
    "report": "pixelwise.workflow.report",
    "train": "pixelwise.workflow.train",
    "verify": "pixelwise.workflow.verify",
}


def __getattr__(name: str) -> "Any":
    """Load a public name on first use."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'pixelwise' has no attribute {name!r}; it has: {', '.join(__all__)}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
