"""Time to `pixelwise --help` and to `import pixelwise`, each as a process of its own: the median of eleven.

Both are checked to load no torch.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

HELP_WITHOUT_TORCH = """
import contextlib, runpy, sys
sys.argv = ["pixelwise", "--help"]
with contextlib.suppress(SystemExit):
    runpy.run_module("pixelwise", run_name="__main__")
sys.exit("torch" in sys.modules)
"""
COMMANDS = {
    "pixelwise --help": [sys.executable, "-m", "pixelwise", "--help"],
    "import pixelwise": [sys.executable, "-c", "import pixelwise, sys; sys.exit('torch' in sys.modules)"],
    "python alone": [sys.executable, "-c", "pass"],
}


def main() -> None:
    """Run each command eleven times, in turns, and print the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(11):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    subprocess.run([sys.executable, "-c", HELP_WITHOUT_TORCH], check=True, capture_output=True)
    print("| command | median, s | slowest, s |")
    print("|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.3f} | {max(values):.3f} |")


if __name__ == "__main__":
    main()
