"""The command line: output, arguments of the verbs, and exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from command_line import run_here
from fuzz.mutations import limited
from pixelwise.cli import main
from pixelwise.cli.overview import COMMANDS, overview
from pixelwise.errors import BadModel, BadOption, Diverged, Interrupted, OutputFailed
from pixelwise.io.read import write_image
from pixelwise.model_file.model_file import read_model_card
from pixelwise.workflow.predict import Predictions
from pixelwise.workflow.prediction.options import PredictOptions
from tiny import write_run

VERBS = ("train", "evaluate", "predict", "report", "inspect", "forecast", "demo", "export", "verify")


def pixelwise(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pixelwise", *words], capture_output=True, text=True, cwd=cwd)


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["pixelwise", *words])
    with pytest.raises(SystemExit) as stop:
        main.main()
    return int(stop.value.code or 0)


def mock(monkeypatch: pytest.MonkeyPatch, place: str, answer: object) -> dict[str, Any]:
    """Replace a verb by a function that records its arguments and returns or raises."""
    seen: dict[str, Any] = {}

    def verb(*args: Any, **kwargs: Any) -> object:
        seen.update(kwargs, args=args)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(place, verb)
    return seen


def loaded(*words: str) -> set[str]:
    """Run the program in a new process; return the modules that are loaded when it ends."""
    program = (
        "import runpy, sys\nsys.argv[0] = 'pixelwise'\ntry:\n    runpy.run_module('pixelwise', run_name='__main__')\n"
        "finally:\n    sys.stderr.write(' '.join(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert shown.stdout, "the program has printed something"
    return set(shown.stderr.split())


def test_help_names_every_command_in_lines_that_fit_a_terminal() -> None:
    registered = [item.name or getattr(item.callback, "__name__", "") for item in main.app.registered_commands]
    assert sorted(COMMANDS) == sorted(name.replace("_", "-") for name in registered)
    shown = pixelwise("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    rows = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", shown.stdout, re.MULTILINE))
    assert rows.items() >= COMMANDS.items()
    assert max(map(len, shown.stdout.splitlines())) <= 80
    alone = pixelwise()
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr == shown.stdout


def test_typer_prints_the_same_overview(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--help", "train") == 0, "two words: parsed by Typer"
    assert capsys.readouterr().out.strip() == overview()


# The time depends on the machine, the loaded modules do not. Typer imports more than a hundred modules.
def test_the_overview_and_the_version_import_almost_nothing() -> None:
    alone = subprocess.run(
        [sys.executable, "-c", "import runpy, sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    for words in (("--help",), ("--version",)):
        more = loaded(*words) - set(alone.stdout.split())
        assert {name for name in more if not name.startswith("pixelwise")} <= set(sys.builtin_module_names)
    assert len(loaded("verify", "--help") - set(alone.stdout.split())) > 50, "the control: Typer is detected"


@pytest.mark.parametrize("verb", ["train", "predict", "inspect", "export"])
def test_the_help_of_a_command_imports_nothing_heavy(verb: str) -> None:
    heavy = {"torch", "numpy", "scipy", "PIL", "pydantic", "matplotlib", "rich", "importlib.metadata", "psutil"}
    assert loaded(verb, "--help") & heavy == set()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_for_each_option(verb: str) -> None:
    result = CliRunner().invoke(main.app, [verb, "--help"])
    assert result.exit_code == 0
    command = next(item for item in main.app.registered_commands if (item.callback or pixelwise).__name__ == verb)
    assert command.callback is not None
    assert command.callback.__doc__


def test_version() -> None:
    import pixelwise as package

    assert pixelwise("--version").stdout.strip() == package.__version__


def test_an_unknown_verb_and_a_missing_argument_end_with_2_and_no_traceback() -> None:
    for words in (("trian",), ("train",), ("train", "x", "--no-such-option")):
        result = pixelwise(*words)
        assert result.returncode == 2
        assert "Error" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_missing_folder_is_one_line_with_exit_code_2(tmp_path: Path) -> None:
    result = pixelwise("train", "nowhere", "--out", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("Error: nowhere")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize("words", [("inspect", "LONG"), ("predict", "LONG", "x.png"), ("evaluate", "LONG", "x")])
def test_a_path_that_the_system_refuses_is_one_line(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("LONG", "a" * 300) for word in words] + (["--out", "out"] if words[0] == "predict" else [])
    assert call(monkeypatch, *given) == 2
    shown = capsys.readouterr().err
    assert len(shown.strip().splitlines()) == 1
    assert shown.startswith("Error: ")


def test_a_pipe_as_a_model_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with limited(), pytest.raises(BadModel):
        read_model_card(tmp_path / "model.safetensors")


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    for words in (("report", str(tmp_path)), ("evaluate", str(tmp_path), str(tmp_path))):
        result = run_here(*words)
        assert result.returncode == 2
        assert "expected a run folder; got a folder without config.yaml" in result.stderr


@pytest.mark.parametrize(
    ("error", "exit_code", "head"),
    [
        (BadOption("a", "b", "c"), 2, "Error: "),
        (OutputFailed("a", "b", "c"), 2, "Error: "),
        (Diverged("a", "b", "c"), 4, "Error: "),
        (Interrupted("a", "b", "c"), 75, "Stopped: "),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    exit_code: int,
    head: str,
) -> None:
    mock(monkeypatch, "pixelwise.workflow.evaluate.evaluate", error)
    assert call(monkeypatch, "evaluate", "runs/x", "DATA") == exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(head)
    assert len(shown.err.strip().splitlines()) == 1


def test_ctrl_c_with_nothing_to_save_is_130_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mock(monkeypatch, "pixelwise.workflow.evaluate.evaluate", KeyboardInterrupt())
    assert call(monkeypatch, "evaluate", "runs/x", "DATA") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    mock(monkeypatch, "pixelwise.workflow.evaluate.evaluate", ZeroDivisionError("bug"))
    monkeypatch.setattr(sys, "argv", ["pixelwise", "evaluate", "runs/x", "DATA"])
    with pytest.raises(ZeroDivisionError, match="bug"):
        main.main()


def test_train_passes_on_limits_overrides_and_data_options(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelwise.datasets.options import DataOptions
    from pixelwise.workflow.run import Run

    seen = mock(monkeypatch, "pixelwise.workflow.train.train", Run(Path("runs/x")))
    words = "train DATA network.depth=5 network.base=8 --budget 10m --seed 3 --classes ground,cell --ignore-index 7"
    assert call(monkeypatch, *words.split(), "--group-by", "^(..)", "--allow-missing") == 0
    assert seen["args"] == (Path("DATA"),)
    assert list(seen["overrides"]) == ["network.depth=5", "network.base=8"]
    assert (seen["budget"], seen["seed"], seen["resume"]) == ("10m", 3, False)
    expected = DataOptions(classes=("ground", "cell"), ignore_index=7, group_by="^(..)", allow_missing=True)
    assert seen["options"] == expected


def test_without_data_flags_the_options_of_the_config_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixelwise.workflow.run import Run

    seen = mock(monkeypatch, "pixelwise.workflow.train.train", Run(Path("runs/x")))
    assert call(monkeypatch, "train", "DATA", "--config", "plan.yaml") == 0
    assert seen["options"] is None
    assert seen["config"] == Path("plan.yaml")


def test_an_unknown_task_is_an_error_with_the_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "DATA", "--task", "semantics") == 2
    assert (
        "expected --task to be 'auto', 'binary', 'multiclass', 'instance' or 'classification'; got `semantics`"
        in capsys.readouterr().err
    )


def test_predict_ends_with_3_when_some_files_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Predictions((Path("o/a.png"),), ((Path("b.png"), "expected an image; got text."),))
    seen = mock(monkeypatch, "pixelwise.workflow.predict.predict", result)
    assert call(monkeypatch, "predict", "runs/x", "a.png", "b.png", "--out", "o", "--json") == 3
    assert json.loads(capsys.readouterr().out) == {
        "outputs": [str(Path("o/a.png"))],
        "failed": [{"file": "b.png", "text": "expected an image; got text."}],
    }
    assert seen["args"] == (Path("runs/x"), [Path("a.png"), Path("b.png")], Path("o"), PredictOptions())
    mock(monkeypatch, "pixelwise.workflow.predict.predict", Predictions((Path("o/a.png"),), ()))
    assert call(monkeypatch, "predict", "runs/x", "a.png", "--out", "o") == 0


def test_predict_passes_on_the_options_of_streaming(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = mock(monkeypatch, "pixelwise.workflow.predict.predict", Predictions((Path("o/a.tif"),), ()))
    given = ("predict", "runs/x", "a.tif", "--out", "o")
    call(monkeypatch, *given)
    assert seen["args"][3] == PredictOptions()
    call(monkeypatch, *given, "--format", "zarr", "--compression", "zstd", "--sampled-intensities")
    assert seen["args"][3] == PredictOptions(format="zarr", compression="zstd", sampled_intensities=True)
    assert call(monkeypatch, *given, "--compression", "lzw") == 2
    assert "expected --compression to be 'deflate' or 'zstd'; got `lzw`" in capsys.readouterr().err


def test_predict_requires_an_output_folder() -> None:
    result = pixelwise("predict", "runs/x", "a.png")
    assert result.returncode == 2
    assert "--out" in result.stderr


@pytest.fixture
def pairs(tmp_path: Path, rng: np.random.Generator) -> Callable[[], Path]:
    """A folder of six synthetic pairs with masks of 0 and 255."""
    from pixelwise.io.read import write_image

    def make() -> Path:
        root = tmp_path / "data"
        for index in range(6):
            pixels = rng.integers(0, 200, (1, 32, 40), dtype=np.uint8)
            mask = np.zeros((1, 32, 40), np.uint8)
            mask[:, 8:20, 10 : 20 + index] = 255
            write_image(root / "images" / f"case_{index}.png", np.where(mask, 255, pixels).astype(np.uint8))
            write_image(root / "masks" / f"case_{index}.png", mask)
        return root

    return make


def test_json_is_one_object_on_standard_output(pairs: Callable[[], Path], tmp_path: Path) -> None:
    result = run_here("inspect", str(pairs()), "--json", "--out", str(tmp_path / "sheet.png"))
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["task"] == "binary"
    assert data["channels"] == 1
    assert sum(data["cases"].values()) == 6
    assert data["ignore_index"] is None
    assert (tmp_path / "sheet.png").is_file()


def test_an_unknown_network_is_an_error_with_the_known_ones() -> None:
    result = run_here("inspect", "resunets")
    assert result.returncode == 2
    assert "`resunets`" in result.stderr
    assert "unet2015, unet" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_networks_are_listed_and_drawn(tmp_path: Path) -> None:
    listed = run_here("inspect", "--list", "--json")
    assert "unetplusplus" in [network["name"] for network in json.loads(listed.stdout)["networks"]]
    drawn = run_here("inspect", "unet", "depth=2", "--size", "64", "--out", str(tmp_path / "u.svg"))
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "u.svg").is_file()
    assert (tmp_path / "u.png").is_file()
    for words, got in ((("inspect",), "neither"), (("inspect", "unet", "--list"), "both")):
        refused = run_here(*words, cwd=tmp_path)
        assert refused.returncode == 2
        assert f"expected a data folder, a run folder or a network, or --list; got {got}." in refused.stderr


def test_inspecting_unusable_data_lists_the_problems_and_exits_with_2(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "data" / "images" / f"{name}.png", np.full((1, 20, 20), 7, np.uint8))
        write_image(tmp_path / "data" / "masks" / f"{name}.png", np.zeros((1, 20, 21), np.uint8))
    result = run_here("inspect", str(tmp_path / "data"), "--json", cwd=tmp_path)
    assert result.returncode == 2
    assert {problem["kind"] for problem in json.loads(result.stdout)["problems"]} >= {"size mismatch"}


def test_inspect_draws_feature_maps_of_an_image(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, rng: np.random.Generator
) -> None:
    run = write_run(tmp_path / "run")
    write_image(tmp_path / "images" / "a.png", rng.integers(0, 256, (1, 40, 52), dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    words = ("inspect", str(run.folder), "--image", "images/a.png", "--pixel", "12, 7", "--class", "object", "--json")
    assert call(monkeypatch, *words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["pixel"], shown["class"]) == ("image", [12, 7], "object")
    assert shown["picture"] == "inspect-a.png"
    assert (tmp_path / "inspect-a.png").is_file()
    assert call(monkeypatch, "inspect", str(run.folder), "--image", "images/a.png", "--pixel", "12") == 2
    assert "expected --pixel ROW,COLUMN; got `12`" in capsys.readouterr().err


def test_training_in_several_processes_ends_as_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def train_in_processes(request: Any, progress: Any) -> int:
        asked.append(request)
        return 7

    monkeypatch.setattr("pixelwise.cluster.ranks.train_in_processes", train_in_processes)
    assert (
        call(monkeypatch, "train", str(tmp_path), "--out", str(tmp_path / "run"), "--ranks", "2", "--steps", "5") == 7
    )
    (request,) = asked
    assert (request.ranks, request.supervise, request.folder) == (2, False, tmp_path / "run")
    assert "--ranks" not in request.words
    assert "--steps" in request.words
