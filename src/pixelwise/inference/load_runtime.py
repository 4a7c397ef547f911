"""Loading the runtime and the model card of a run or an exported file, for any task."""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.model_file.model_card import ModelCard, describe_members
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.exported import find_export, open_export


def load_runtime(
    path: Path | str,
    *,
    device: str,
    runtime: str,
    sizes: Sequence[tuple[int, ...]] | None = None,
    may_cut: bool = False,
    progress: Progress | None = None,
) -> tuple[Runtime, ModelCard]:
    """Load a run folder, a model file or an exported file; exported files do not need torch.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        For runs; exports run on the CPU.
    runtime : str
        One of `benchmark.RUNTIMES`. For exports "torch" is the same as "auto".
    sizes, may_cut
        As in `make_runtime.make_runtime`.
    progress : Progress, optional
        Receives messages about the choice of the runtime and the cost of an ensemble.

    Returns
    -------
    Runtime
    ModelCard
        Without the normalisation that is part of an exported graph.

    Raises
    ------
    BadModel
        The model is missing or invalid.
    BadOption
        The runtime is unknown, or cannot run this file.
    """
    progress = progress or Progress()
    exported = find_export(path)
    if exported is not None:
        graph, model_card = open_export(exported, runtime)
        progress.message(*describe_members(model_card))
        return graph, model_card
    # imported here, because exported models do not need torch and start faster without it
    from pixelwise.inference.make_runtime import make_runtime
    from pixelwise.model_file.model_file import find_model_file, load_model
    from pixelwise.runtimes.machine import choose_device
    from pixelwise.runtimes.malloc import release_memory

    file = find_model_file(path)
    network, model_card = load_model(file)
    progress.message(*describe_members(model_card))
    device = choose_device(device)
    opened = make_runtime(runtime, network, model_card, file, device, sizes, progress, may_cut=may_cut)
    release_memory()  # of weights in another layout, between those that stay
    return opened, model_card
