"""Write the page networks.md: every network with the options that it reads, from the records of the registry.

python docs/make_networks.py     a test compares the page with the committed one
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from string import Template

from pixelwise.atomic_write import atomic_write_text
from pixelwise.networks.architectures import ALWAYS_READ, ARCHITECTURES, CLASSIFIERS, SEGMENTERS, Architecture

HERE = Path(__file__).parent
PAGE, TEXT = HERE / "networks.md", HERE / "templates" / "networks.md"


def page() -> str:
    """Return the page: the text, with tables made of the registry."""
    parts = {
        "segmenters": networks_table(SEGMENTERS.values()),
        "classifiers": networks_table(CLASSIFIERS.values()),
        "encoders": encoders_table(),
    }
    return Template(TEXT.read_text("utf-8")).substitute(parts)


def networks_table(networks: Iterable[Architecture]) -> str:
    """Return a row for each group of networks of one builder that read the same options."""
    rows: list[tuple[str, ...]] = []
    for _, group in groupby(networks, key=lambda network: (network.builder, network.reads)):
        members = list(group)
        published = ", ".join(f"{key}={value}" for key, value in members[0].published.items()) or "-"
        counts = [f"{member.parameters:,}" for member in members if member.parameters is not None]
        names = ", ".join(f"`{member.name}`" for member in members)
        rows.append((names, options(members[0].reads), published, "; ".join(counts) or "-", members[0].paper))
    return table(("network", "options", "as published", "parameters as published", "described in"), rows)


def encoders_table() -> str:
    """Return a row for each group of encoders with which `unet` reads the same options."""
    rows: list[tuple[str, ...]] = []
    for reads, group in groupby(ARCHITECTURES["unet"].encoders.items(), key=lambda item: item[1]):
        rows.append((", ".join(f"`{encoder}`" for encoder, _ in group), options(reads)))
    return table(("encoder", "options of `unet` with it"), rows)


def options(reads: Sequence[str]) -> str:
    """Name what can be chosen: what the data decide is left out."""
    return ", ".join(f"`{option}`" for option in reads if option not in ALWAYS_READ) or "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Write the page."""
    atomic_write_text(PAGE, page())


if __name__ == "__main__":
    main()
