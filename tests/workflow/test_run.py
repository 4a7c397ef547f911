"""The run folder: created, opened, and rejected if it is not a run."""

from pathlib import Path

import pytest

from pixelwise.errors import BadRun, OutputFailed
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from tiny import write_run


def test_a_run_is_opened_as_it_was_made(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    again = Run.open(tmp_path / "run")
    assert again.config == run.config
    assert again.splits["cases"]["train"] == ["train/a"]
    assert again.environment["threads"] == 1
    assert again.fingerprint["intensity_range"] == [[0, 255]]
    assert (
        again.metrics_path.read_text(encoding="utf-8").splitlines()[0]
        == "step,seconds,train_loss,val_score,learning_rate,skipped"
    )


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="expected a run folder; got nothing at this path"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(BadRun, match=r"got a folder without config\.yaml"):
        Run.open(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadRun, match="got a file"):
        Run.open(tmp_path / "file")


def test_damaged_records_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.folder / "splits.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadRun, match=r"splits\.json: expected splits\.json of a run"):
        _ = run.splits
    (run.folder / "splits.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BadRun, match="got list"):
        _ = run.splits


def test_a_taken_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputFailed, match="Choose another --out"):
        Run.create(tmp_path, Config(), {})
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    run = write_run(tmp_path / "run")
    with pytest.raises(OutputFailed, match="Continue it with --resume, or choose another --out"):
        run.check_free()


RECORDS = {"splits": {"cases": {}}, "folds": {"left_out": [["a"]]}}


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """What a process leaves that ends before config.yaml is written."""

    def end(path: Path, config: Config) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("pixelwise.workflow.run.save_config", end)
        with pytest.raises(SystemExit):
            Run.create(tmp_path / "run", Config(), RECORDS)
    (tmp_path / "run" / ".splits.json.0.part").touch()
    return Run(tmp_path / "run")


def test_a_run_that_was_stopped_before_its_config_is_replaced(stopped: Run) -> None:
    with pytest.raises(BadRun, match="Give the same command without --resume"):
        Run.open(stopped.folder)
    stopped.check_free()
    again = Run.create(stopped.folder, Config(), {"splits": {"cases": {"train": ["b"]}}})
    assert again.splits == {"cases": {"train": ["b"]}}
    assert not again.folds, "records of the other attempt are gone"
    assert Run.open(stopped.folder).config == Config()


def test_control_what_else_is_there_is_kept(stopped: Run) -> None:
    (stopped.folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputFailed, match="an existing one"):
        Run.create(stopped.folder, Config(), {})


def test_a_run_that_is_being_created_is_not_replaced(stopped: Run) -> None:
    with stopped.only_one(), pytest.raises(OutputFailed, match="being trained"):
        Run.create(stopped.folder, Config(), {})


def test_one_training_at_a_time(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with run.only_one(), pytest.raises(OutputFailed, match="one that is being trained"), run.only_one():
        pass
    with run.only_one():
        pass  # free again


def test_missing_numbers_leave_empty_fields(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.write_metrics([{"step": 1, "train_loss": None, "val_score": 0.25}])
    assert run.metrics_path.read_text(encoding="utf-8") == "step,train_loss,val_score\n1,,0.25\n"


def test_a_run_inside_the_data_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for inside in (data, data / "run", data / "images" / "run"):
        with pytest.raises(OutputFailed, match="inside"):
            Run(inside).check_outside(data)
    Run(tmp_path / "data-run").check_outside(data)
    Run(tmp_path / "run").check_outside(data)
