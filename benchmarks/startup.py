"""Time to `pixelwise --help`, `pixelwise train --help` and `import pixelwise`, each as a process of its own.

Beside the time on the clock stands the time of the processor: other work on the machine lengthens the first, hardly the
second. The last rows run without compiled files (`.pyc`), as after `uv pip install` without `--compile-bytecode`, or
where Python may not write beside its packages. None of the commands may load torch.

python benchmarks/startup.py [--rounds 11]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

WITHOUT_TORCH = """
import contextlib, runpy, sys
sys.argv = ["pixelwise", *sys.argv[1:]]
with contextlib.suppress(SystemExit):
    runpy.run_module("pixelwise", run_name="__main__")
sys.exit("torch" in sys.modules)
"""
PROGRAM = [sys.executable, "-m", "pixelwise"]
COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "import pixelwise": [sys.executable, "-c", "import pixelwise, sys; sys.exit('torch' in sys.modules)"],
    "pixelwise --help": [*PROGRAM, "--help"],
    "pixelwise train --help": [*PROGRAM, "train", "--help"],
}


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Run a command; return seconds on the clock, and of the processor: for the program, and for the system below."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


def main() -> None:
    """Run each command so many times, in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    for words in (["--help"], ["train", "--help"]):
        subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *words], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as empty:
        usual = dict(os.environ)
        uncompiled = usual | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": empty}
        rows = {name: (command, usual) for name, command in COMMANDS.items()}
        rows |= {f"{name}, nothing compiled": (command, uncompiled) for name, command in COMMANDS.items()}
        times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, row in rows.items():
                times[name].append(measure(*row))
    print("| command | clock: median, s | slowest, s | processor, user: mean, s | system: mean, s |")
    print("|---|---|---|---|---|")
    for name, measured in times.items():
        clock, user, system = zip(*measured, strict=True)
        means = f"{statistics.mean(user):.3f} | {statistics.mean(system):.3f}"
        print(f"| {name} | {statistics.median(clock):.3f} | {max(clock):.3f} | {means} |")


if __name__ == "__main__":
    main()
