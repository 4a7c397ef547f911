"""Train every family of networks on real data sets for the same time and print one table.

    python benchmarks/families.py --data ../shared/data --out runs/families --budget 10m [--sets chase_db1]

All encoders start from random weights. Everything runs through the command line; called again, it goes on where it was
stopped. The plan chooses width, patches and steps for each network, so that each fills the same time.
"""

import argparse
import json
from pathlib import Path

import yaml
from five_sets import run_set

FAMILIES = {
    "unet": ("network=unet",),
    "resunet": ("network=resunet",),
    "unet++": ("network=unetplusplus",),
    "attention": ("network=attention_unet",),
    "vnet": ("network=vnet",),
    "unet-resnet34": ("encoder=resnet34",),
    "unet-vgg16": ("encoder=vgg16",),
}


def main() -> None:
    """Run what is missing, then print a row per network and set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sets", default="camvid11,chase_db1")
    parser.add_argument("--families", default=",".join(FAMILIES))
    chosen = parser.parse_args()
    done: list[tuple[str, str]] = []
    for family in chosen.families.split(","):
        for name in chosen.sets.split(","):
            if run_set(chosen.data / name, chosen.out / name / family, chosen.budget, FAMILIES[family]):
                done.append((name, family))
    print("| set | part | network | base | patches | steps | seconds | mean Dice | 95 % interval | mean IoU |")
    print("|---" * 10 + "|")
    for name, family in sorted(done):
        print(row(name, family, chosen.out / name / family))


def row(name: str, family: str, run: Path) -> str:
    """Return a row of the table in Markdown."""
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    plan = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    patches, head, pixels = plan["patches"], scores["headline"], scores["scores"]["pixels"]
    drawn = f"{patches['batch']} of {patches['height']} x {patches['width']}"
    seconds = f"{float((run / 'seconds.txt').read_text(encoding='utf-8')):.0f}"
    interval = f"{head['low']:.4f}-{head['high']:.4f}" if head["low"] is not None else ""
    cells = [name, scores["split"], family, plan["network"]["base"], drawn, plan["training"]["steps"], seconds]
    cells += [f"{pixels['mean_dice']:.4f}", interval, f"{pixels['mean_iou']:.4f}"]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
