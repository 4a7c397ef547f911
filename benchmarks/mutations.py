"""Whether the tests notice faults: each mutation changes one line of a copy of the source, and its tests must fail.

    python benchmarks/mutations.py [--only NUMBERS]

The faults are small, and wrong in ways that matter: a halo that is one stride short, ignored pixels that are counted, a
resumed run that forgets its schedule. Two of them are harmless, because they change no result by more than rounding;
these may survive. Exit code 1 if another one survives, or if the tests fail without a fault.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOT_KILLED = 0  # exit code of pytest if all tests passed
FAILED = 1  # if some failed


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A fault: a text in a file of the package is replaced; the tests are below tests/."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    harmless: bool = False


MUTATIONS = (
    Mutation(
        name="halo one stride short at the start",
        file="geometry/tiles.py",
        old="read = (max(0, start - geometry.halo), min",
        new="read = (max(0, start - geometry.halo + geometry.total_stride), min",
        tests="geometry/test_tiles.py inference/test_predictor.py",
    ),
    Mutation(
        name="halo one stride short at the end",
        file="geometry/tiles.py",
        old="min(padded, stop + geometry.halo))",
        new="min(padded, stop + geometry.halo - geometry.total_stride))",
        tests="geometry/test_tiles.py inference/test_predictor.py",
    ),
    Mutation(
        name="ignored pixels enter the confusion matrix",
        file="metrics/semantic.py",
        old="valid = truth != IGNORE",
        new="truth = np.where(truth == IGNORE, 0, truth)\n    valid = np.ones(truth.shape, bool)",
        tests="metrics/test_semantic.py",
    ),
    Mutation(
        name="the soft Dice counts predictions on ignored pixels",
        file="training/losses.py",
        old="predicted = probabilities if bool(valid.all()) else probabilities * mask",
        new="predicted = probabilities",
        tests="training/test_losses.py",
    ),
    Mutation(
        name="classes that are absent enter the soft Dice",
        file="training/losses.py",
        old="present = pixels > 0",
        new="present = pixels >= 0",
        tests="training/test_losses.py",
    ),
    Mutation(
        name="no smaller decay of a young EMA",
        file="training/learner.py",
        old="decay = min(1 - 1 / max(window, 1.0), (1 + index) / (10 + index))",
        new="decay = 1 - 1 / max(window, 1.0)",
        tests="training/test_learner.py",
    ),
    Mutation(
        name="a skipped step keeps its batch statistics",
        file="training/learner.py",
        old="        self._restore_buffers()\n        self.skipped += 1",
        new="        self.skipped += 1",
        tests="training/test_learner.py",
    ),
    Mutation(
        name="images are warped half a pixel off",
        file="sampling/warp.py",
        old='"bilinear", "border", align_corners=True)',
        new='"bilinear", "border", align_corners=False)',
        tests="sampling/test_augment.py sampling/test_patches.py",
    ),
    Mutation(
        name="labels are warped to the pixel below",
        file="sampling/warp.py",
        old="rows.round().long().mul_(labels.shape[2]).add_(columns.round().long())",
        new="rows.floor().long().mul_(labels.shape[2]).add_(columns.floor().long())",
        tests="sampling/test_augment.py sampling/test_patches.py",
    ),
    Mutation(
        name="a flat image of floating-point numbers is scaled by its rounding",
        file="sampling/normalise.py",
        old='rounding = 1e-6 * np.abs(mean) if dtype.kind == "f" else 0.0',
        new="rounding = 0.0",
        tests="sampling/test_normalise.py",
    ),
    Mutation(
        name="smallest area off by one",
        file="labels/stitching.py",
        old="(total >= max(1, smallest))",
        new="(total > max(1, smallest))",
        tests="labels/test_stitching.py",
    ),
    Mutation(
        name="corners between strips are no contact",
        file="labels/stitching.py",
        old="product((-1, 0, 1) if self._corners else (0,), repeat=above.ndim)",
        new="product((0,), repeat=above.ndim)",
        tests="labels/test_stitching.py",
    ),
    Mutation(
        name="the phase at low resolution ends one step late",
        file="workflow/fit/segmentation_task.py",
        old="self._run.config.patches.low_res_fraction - ROUNDING",
        new="self._run.config.patches.low_res_fraction + ROUNDING",
        tests="workflow/tasks workflow/fit/test_loop.py",
    ),
    Mutation(
        name="one patch fewer on rare classes",
        file="sampling/patches.py",
        old="forced_from = options.batch - round(options.foreground_share * options.batch)",
        new="forced_from = options.batch - round(options.foreground_share * options.batch) + 1",
        tests="sampling/test_patches.py",
    ),
    Mutation(
        name="conformal rank off by one",
        file="metrics/calibration.py",
        old="rank = math.ceil(round((len(actual) + 1) * level, 9))",
        new="rank = math.ceil(round((len(actual) + 1) * level, 9)) - 1",
        tests="metrics/test_calibration.py",
    ),
    Mutation(
        name="SEG counts an object that is covered exactly by half",
        file="metrics/instance.py",
        old="covering = 2 * table.pixels > table",
        new="covering = 2 * table.pixels >= table",
        tests="metrics/test_instance.py",
    ),
    Mutation(
        name="border weights end at two standard deviations",
        file="labels/targets.py",
        old="np.ceil(6 * sigma)",
        new="np.ceil(2 * sigma)",
        tests="labels/test_targets.py",
    ),
    Mutation(
        name="Muon scales by the short side",
        file="training/muon.py",
        old="math.sqrt(max(direction.shape))",
        new="math.sqrt(min(direction.shape))",
        tests="training/test_muon.py",
    ),
    Mutation(
        name="patience counts early validations",
        file="workflow/fit/loop.py",
        old='float(row["progress"] or 0.0) >= start]',
        new='float(row["progress"] or 0.0) >= 0]',
        tests="workflow/test_train.py::test_patience_is_counted_once_the_details_are_learned",
    ),
    Mutation(
        name="a budget forgets the time to finish",
        file="workflow/fit/pacing.py",
        old="ends = max(now, limit - reserve)",
        new="ends = max(now, limit)",
        tests="workflow/fit/test_pacing.py workflow/fit/test_loop.py",
    ),
    Mutation(
        name="weights that are not finite may be kept",
        file="workflow/fit/loop.py",
        old="return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())",
        new="return True",
        tests="workflow/fit/test_loop.py workflow/fit/test_finish.py",
    ),
    Mutation(
        name="a resumed run forgets everything but the step",
        file="workflow/fit/loop.py",
        old='self._state = State(**checkpoint.state["training"])',
        new='self._state = State(step=checkpoint.state["training"]["step"])',
        tests="workflow/test_resume.py workflow/test_resume_budget.py",
    ),
    Mutation(
        name="a resumed run forgets its schedule",
        file="workflow/fit/loop.py",
        old='return checkpoint.state["pacing"]',
        new="return {}",
        tests="workflow/test_resume_budget.py",
    ),
    Mutation(
        name="a resumed run forgets the seconds it has used",
        file="workflow/fit/loop.py",
        old="self._clock_zero = started - self._state.seconds",
        new="self._clock_zero = started",
        tests="workflow/test_resume_budget.py",
    ),
    Mutation(
        name="seeds outside of the foreground",
        file="labels/instances.py",
        old="seeds = foreground & (depth > options.seed_threshold)",
        new="seeds = depth > options.seed_threshold",
        tests="labels/test_instances.py",
    ),
    Mutation(
        name="foreground at a tie",
        file="labels/instances.py",
        old="return probabilities[0] < 1 - options.foreground_threshold",
        new="return probabilities[0] <= 1 - options.foreground_threshold",
        tests="labels/test_instances.py",
        harmless=True,
    ),
    Mutation(
        name="blending weights half a pixel off",
        file="geometry/tiles.py",
        old="positions = np.arange(*span) + 0.5",
        new="positions = np.arange(*span) + 0.0",
        tests="geometry/test_tiles.py inference/test_blending.py",
        harmless=True,
    ),
)


def main() -> None:
    """Run the tests of each mutation, and print which were noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="numbers of mutations, with commas between, from 1")
    chosen = parser.parse_args()
    numbers = [int(word) for word in chosen.only.split(",")] if chosen.only else range(1, len(MUTATIONS) + 1)
    print("| | fault | result |\n|---|---|---|")
    failed = False
    for number in numbers:
        mutation = MUTATIONS[number - 1]
        result, as_expected = outcome(mutation)
        failed |= not as_expected
        print(f"| {number} | {mutation.name} | {result} |", flush=True)
    sys.exit(failed)


def outcome(mutation: Mutation) -> tuple[str, bool]:
    """Return what came of a mutation, in words, and whether that is as it should be."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        file = source / "pixelwise" / mutation.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutation.old) != 1:
            return f"is not found once in {mutation.file}: change this benchmark", False
        file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        code, last = run_tests(mutation.tests, source)
    if code == NOT_KILLED:
        return f"survives ({last})", mutation.harmless
    return (f"noticed ({last})", True) if code == FAILED else (f"the tests did not run ({last})", False)


def run_tests(tests: str, source: Path) -> tuple[int, str]:
    """Run tests until one fails; return the exit code of pytest and its last line."""
    paths = [str(ROOT / "tests" / name) for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-n", "0", *paths]
    environment = os.environ | {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return done.returncode, lines[-1].strip("= ") if lines else done.stderr.strip()[-200:]


if __name__ == "__main__":
    main()
