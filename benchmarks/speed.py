"""Speed of prediction, everything side by side in one run: medians, ratios to the others, peak memory.

    python benchmarks/speed.py warm [--base 16,64]          one warm image of 512 x 512 in each runtime, against eager
    python benchmarks/speed.py cold MODEL... --image PNG    from nothing to the mask of one picture on the disk
    python benchmarks/speed.py large [--side 4096]          against MONAI, nnU-Net, smp and plain PyTorch
    python benchmarks/speed.py peak [--base 64]             share of the matrix multiply of the same library
    python benchmarks/speed.py cores [--over 1,2,4]         over threads
    python benchmarks/speed.py sizes [--sides 256,...]      over the size of the picture; from 10,000 on: huge.py
    python benchmarks/speed.py process [--count 200]        folders of PNGs in whole processes, against scripts
    python benchmarks/speed.py all                          all of these but cold, which needs models of yours

Every command takes --rounds, --threads and --json FILE. MONAI, smp and nnU-Net are measured where --peers names the
Python of an environment that has them (and torch, numpy, scipy, pillow, pydantic, jaxtyping and safetensors); without
it they are left out.

Networks are padded U-Nets with batch normalisation. Every side lives in a process of its own, so that no library's
threads disturb another's; sides take turns, round by round, and only one computes at a time. Ratios are to the same
round, above 1 where a side is faster. "eager" and "PyTorch" are the network as tutorials run it: `eval()`, `no_grad()`,
contiguous input. All sides of a command compute the same network with the same weights, from an array of pixels to an
array of class indices. GFLOP/s counts the network's multiply-adds twice, whatever an algorithm saves.

The weights are drawn, and so are the pictures. What int8 does to masks of a trained network is in the parity report of
its export; `large --run RUN` takes a run in the place of drawn weights, exports it and reports what was lost.
`large --encoder resnet34` takes a U-Net on that encoder, which smp has too.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from machine import in_words, use_avx2_only
from speed_parts.folder import folders
from speed_parts.large import Scene, large
from speed_parts.scaling import over_sizes, over_threads
from speed_parts.sides import OURS, PEERS, PLAIN
from speed_parts.tables import Table, write_json
from speed_parts.warm import cold, peak, warm

from pixelwise.errors import PixelwiseError
from pixelwise.parallel import let_idle_threads_sleep

BEST = ("torch", "openvino", "openvino-int8")


def numbers(text: str) -> list[int]:
    """Read numbers with commas between."""
    return [int(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    """Read names of sides with commas between."""
    chosen = [part for part in text.split(",") if part]
    unknown = [name for name in chosen if name not in (*OURS, *PLAIN, *PEERS)]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of: {', '.join((*PLAIN, *PEERS, *OURS))}")
    return chosen


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in (*COMMANDS, "all"):
        command = commands.add_parser(name)
        command.add_argument("--rounds", type=int, default=ROUNDS.get(name, 3))
        command.add_argument("--threads", type=int, default=4)
        command.add_argument("--avx2", action="store_true", help="keep oneDNN and torch to AVX2 in every process")
        command.add_argument("--json", type=Path, help="also write all numbers into this file")
        command.add_argument("--peers", help="the Python of an environment with MONAI, smp and nnU-Net")
        if name in ("warm", "all"):
            command.add_argument(
                "--base" if name == "warm" else "--bases", type=numbers, default=[16, 64], dest="bases"
            )
        if name == "cold":
            command.add_argument("models", type=Path, nargs="+")
            command.add_argument("--image", type=Path, required=True)
        if name != "warm":
            command.add_argument("--base", type=int, default=64 if name == "peak" else 16)
        _scene_arguments(command, name)
    return parser.parse_args()


def _scene_arguments(command: argparse.ArgumentParser, name: str) -> None:
    if name in ("large", "cores", "sizes", "all"):
        command.add_argument("--tile", type=int, default=0, help="kept pixels a side; by default what the model says")
        command.add_argument("--roi", type=int, default=512, help="pixels a side of the others' windows")
        command.add_argument("--picture", type=Path, help="an image file in the place of drawn cells")
    if name in ("large", "cores", "all"):
        command.add_argument("--side", type=int, default=2048 if name == "cores" else 4096)
    if name in ("large", "all"):
        command.add_argument(
            "--longest", type=float, default=600, help="seconds a process may take, else it is left out"
        )
        command.add_argument("--encoder", default="plain", help="of the U-Net; one that smp has compares with smp")
        command.add_argument("--run", type=Path, help="a run of masks in the place of drawn weights")
    if name in ("large", "cores", "sizes"):
        sides = {"cores": list(BEST), "sizes": list(BEST)}.get(name, [])
        command.add_argument("--only", type=names, default=sides, help="names of sides, with commas between")
    if name in ("cores", "all"):
        command.add_argument("--over", type=numbers, default=[1, 2, 4])
    if name in ("sizes", "all"):
        command.add_argument("--sides", type=numbers, default=[256, 512, 1024, 2048, 4096, 8192])
    if name in ("process", "all"):
        command.add_argument("--count", type=int, default=200)


def scene(given: argparse.Namespace, **changes: object) -> Scene:
    """Return what the options say of the picture and the network."""
    known = {name: value for name, value in vars(given).items() if name in Scene.__dataclass_fields__}
    return Scene(**(known | changes))  # type: ignore[arg-type]


def everything(given: argparse.Namespace) -> list[Table]:
    """Measure all but cold starts of models of the user's."""
    return [
        warm(given.bases, given.rounds, given.threads),
        peak(64, given.rounds, given.threads),
        large(scene(given), []),
        over_threads(scene(given, side=2048, run=None, encoder="plain"), BEST, given.over),
        over_sizes(scene(given, run=None, encoder="plain"), BEST, given.sides),
        folders(given.count, given.base, given.rounds, given.threads, given.peers),
    ]


COMMANDS: dict[str, Callable[[argparse.Namespace], Table]] = {
    "warm": lambda given: warm(given.bases, given.rounds, given.threads),
    "cold": lambda given: cold(given.models, given.image, given.rounds),
    "large": lambda given: large(scene(given), given.only),
    "peak": lambda given: peak(given.base, given.rounds, given.threads),
    "cores": lambda given: over_threads(scene(given), given.only, given.over),
    "sizes": lambda given: over_sizes(scene(given), given.only, given.sides),
    "process": lambda given: folders(given.count, given.base, given.rounds, given.threads, given.peers),
}
ROUNDS = {"warm": 9, "cold": 5, "peak": 5}


def main() -> None:
    """Measure what was asked for."""
    given = arguments()
    let_idle_threads_sleep()
    if given.avx2:
        use_avx2_only()
    print(in_words(), flush=True)
    try:
        tables = everything(given) if given.command == "all" else [COMMANDS[given.command](given)]
    except PixelwiseError as error:
        raise SystemExit(str(error)) from None
    if given.json:
        write_json(given.json, sys.argv[1:], tables)


if __name__ == "__main__":
    main()
