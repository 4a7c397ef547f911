"""Start a training from all weights of a model: `transfer.initial_model` is a run or a model file of the same network.

So a training goes on with more or corrected annotations: `--config RUN/config.yaml transfer.initial_model=RUN`.
"""

from pathlib import Path

from pixelwise.errors import BadOption, BadRun
from pixelwise.model_file.model_file import ModelCard, find_model_file, load_network
from pixelwise.networks.architectures import with_defaults_where_unread
from pixelwise.networks.models import Network
from pixelwise.progress import Progress
from pixelwise.training.kept_predictions import PreviousModel
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from pixelwise.workflow.weights.encoder_weights import encoder_weights_record, load_encoder_weights
from pixelwise.workflow.weights.store import file_digest

RECORD = "initial_model"
_LICENCE = "encoder_weights_licence"


def check_initial_model(config: Config, folds: int | None, progress: Progress) -> dict[str, dict[str, str]]:
    """Check the model of `transfer.initial_model` and report it.

    Parameters
    ----------
    config : Config
        The plan.
    folds : int or None
        Of a cross-validation, which cannot start from a model.

    Returns
    -------
    dict
        `initial_model.json` of the run folder, by its name; empty without an initial model.

    Raises
    ------
    BadModel
        It is not a model of one network.
    BadOption
        It does not exist, its network differs from the plan, or there are folds.
    """
    word = config.transfer.initial_model
    if not word:
        return {}
    if folds is not None:
        hint = "Leave out --folds: the model may have seen the images that a fold leaves out."
        raise BadOption("transfer.initial_model without folds", f"{folds} folds", hint)
    path = _find(word)
    _, model_card = load_network(path)
    _check_network(config, model_card, word)
    if config.transfer.keep_predictions and (config.target.regions or model_card.task == "classification"):
        got = "regions" if config.target.regions else "classes of whole images"
        hint = "Leave out transfer.keep_predictions."
        raise BadOption("one class per pixel for transfer.keep_predictions", got, hint)
    digest = file_digest(path)
    progress.message(f"All weights start from {word}, SHA-256 {digest}.")
    record = {"source": word, "sha256": digest}
    if _LICENCE in model_card.trained:
        record[_LICENCE] = model_card.trained[_LICENCE]
    return {RECORD: record}


def load_initial_weights(network: Network, run: Run, progress: Progress) -> bool:
    """Load the weights that a training starts from, of a model or of an encoder; return whether there are any.

    Raises
    ------
    BadRun
        They have changed since the start of the run.
    """
    word = run.config.transfer.initial_model
    if not word:
        return load_encoder_weights(network, run, progress)
    trained, _ = _load_initial_model(run)
    network.load_state_dict(trained.state_dict())
    return True


def load_previous_model(run: Run) -> PreviousModel | None:
    """Return the initial model of a run that keeps its predictions (`transfer.keep_predictions`); else None.

    Raises
    ------
    BadRun
        It has changed since the start of the run.
    """
    transfer = run.config.transfer
    if not transfer.keep_predictions:
        return None
    trained, model_card = _load_initial_model(run)
    return PreviousModel(trained.eval().requires_grad_(False), model_card.softmax_channels, transfer.keep_predictions)


def initial_weights_record(run: Run) -> dict[str, str]:
    """Return the entries of the model card about the weights that the training started from."""
    if not run.config.transfer.initial_model:
        return encoder_weights_record(run)
    record = run.read_json(f"{RECORD}.json")
    licence = {_LICENCE: str(record[_LICENCE])} if _LICENCE in record else {}
    return {"initial_model_sha256": str(record["sha256"]), **licence}


def _load_initial_model(run: Run) -> tuple[Network, ModelCard]:
    path = _find(run.config.transfer.initial_model)
    expected, got = run.read_json(f"{RECORD}.json").get("sha256"), file_digest(path)
    if got != expected:
        raise BadRun(f"the initial model, SHA-256 {expected}", f"another one, {got}", "Start a new training.", path)
    return load_network(path)


def _find(word: str) -> Path:
    if not Path(word).exists():
        hint = "Give a run folder or its model.safetensors."
        raise BadOption("transfer.initial_model as a run or a model file", f"`{word}`, which does not exist", hint)
    return find_model_file(word)


def _check_network(config: Config, model_card: ModelCard, word: str) -> None:
    planned, given = (with_defaults_where_unread(options) for options in (config.network, model_card.network))
    if planned != given:
        hint = f"Add --config {Path(word) / 'config.yaml'}, so that the plan of that run is used."
        raise BadOption(f"the network of transfer.initial_model, {given.full_name}", "another network", hint, word)
