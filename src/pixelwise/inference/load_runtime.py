"""What computes a model: the network of a run in one of the runtimes, or an exported file. Comes before any task."""

from pathlib import Path

from pixelwise.model_file.model_card import ModelCard, describe_members
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.exported import find_export, open_export


def load_runtime(
    path: Path | str, *, device: str, runtime: str, pixels: int | None = None, progress: Progress | None = None
) -> tuple[Runtime, ModelCard]:
    """Load a run folder, a model file or an exported file; torch is imported for the first two alone.

    Parameters
    ----------
    path : path
    device : {"auto", "cpu", "cuda", "mps"}
        For runs; exports are computed by the processor.
    runtime : str
        One of `benchmark.RUNTIMES`. For exports "torch" means as much as "auto": they are read without it.
    pixels : int, optional
        How many are to be predicted; see `make_runtime.make_runtime`.
    progress : Progress, optional
        Is told which runtime computes, and why, and what an ensemble costs.

    Returns
    -------
    Runtime
    ModelCard
        What an exported graph does itself is taken out of it.

    Raises
    ------
    BadModel
        There is no model, or it is not one of ours.
    BadOption
        No such runtime, or not for this file.
    """
    progress = progress or Progress()
    exported = find_export(path)
    if exported is not None:
        computes, model_card = open_export(exported, runtime)
        progress.message(*describe_members(model_card))
        return computes, model_card
    # not above: models that were exported do without torch and start faster
    from pixelwise.inference.make_runtime import make_runtime
    from pixelwise.model_file.model_file import find_model_file, load_model
    from pixelwise.runtimes.machine import choose_device

    found = find_model_file(path)
    network, model_card = load_model(found)
    progress.message(*describe_members(model_card))
    chosen = choose_device(device)
    return make_runtime(runtime, network, model_card, found, chosen, pixels, progress), model_card
