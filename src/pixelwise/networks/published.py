"""Registry of pretrained weights: address, digest, licence and expected input of each file.

This module does not download. File names and sizes are torchvision's (`torchvision.models.*_Weights`); a file name
contains the first eight hexadecimal digits of its SHA-256. A full digest is given if two independent public records
agree on it; otherwise the eight digits are checked, and the full digest is recorded at the first download.
"""

from dataclasses import dataclass

from pixelwise.errors import BadOption

ROOT = "https://download.pytorch.org/models/"
VERSIONS = {"imagenet": "IMAGENET1K_V1", "imagenet-v2": "IMAGENET1K_V2"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LICENCE = (
    "BSD-3-Clause, as torchvision; trained on ImageNet, whose images are for non-commercial research: "
    "check whether your use is allowed"
)


@dataclass(frozen=True, kw_only=True)
class PretrainedWeights:
    """One file of pretrained weights.

    Attributes
    ----------
    word : str
        Value of `encoder_weights=`.
    url : str
        Download address.
    sha256 : str
        Digest of the file, 64 hexadecimal digits, or the first eight if no more is known.
    size_mib : float
        Size of the file in MiB.
    source, licence : str
        Origin and licence as text.
    mean, std : tuple of float
        Normalisation of the training images, for red, green and blue in 0...1.

    Examples
    --------
    >>> published = PRETRAINED["imagenet"]["resnet18"]
    >>> published.stem, published.has_full_digest
    ('resnet18-f37072fd', True)
    """

    word: str
    url: str
    sha256: str
    size_mib: float
    source: str
    licence: str = LICENCE
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return self.url.rsplit("/", 1)[-1].removesuffix(".pth")

    @property
    def has_full_digest(self) -> bool:
        """Whether the full SHA-256 is known."""
        return len(self.sha256) == 64


def _torchvision(word: str, encoder: str, sha256: str, size_mib: float) -> PretrainedWeights:
    return PretrainedWeights(
        word=word,
        url=f"{ROOT}{encoder}-{sha256[:8]}.pth",
        sha256=sha256,
        size_mib=size_mib,
        source=f"torchvision {encoder}, {VERSIONS[word]}",
    )


def _registry(word: str, *rows: tuple[str, str, float]) -> dict[str, PretrainedWeights]:
    return {encoder: _torchvision(word, encoder, sha256, size_mib) for encoder, sha256, size_mib in rows}


# For each value of `encoder_weights=`, the file of each encoder.
PRETRAINED: dict[str, dict[str, PretrainedWeights]] = {
    "imagenet": _registry(
        "imagenet",
        ("resnet18", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 44.661),
        ("resnet34", "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", 83.275),
        ("resnet50", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 97.781),
        ("resnet101", "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a", 170.511),
        ("resnet152", "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58", 230.434),
        ("vgg11", "8a719046", 506.84),
        ("vgg11_bn", "6002323d", 506.881),
        ("vgg13", "19584684", 507.545),
        ("vgg13_bn", "abd245e5", 507.59),
        ("vgg16", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 527.796),
        ("vgg16_bn", "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a", 527.866),
        ("vgg19", "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44", 548.051),
        ("vgg19_bn", "c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6", 548.143),
    ),
    "imagenet-v2": _registry(
        "imagenet-v2",
        ("resnet50", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca", 97.79),
        ("resnet101", "cd907fc2a0de2292b2ba2b27d2216bc672d84632d1cf20058d01c0c03b5e020e", 170.53),
        ("resnet152", "f82ba261", 230.474),
    ),
}


def find_pretrained(word: str, encoder: str) -> PretrainedWeights:
    """Return the file of pretrained weights for a value of `encoder_weights=` and an encoder.

    Raises
    ------
    BadOption
        There is none for this encoder; the available encoders are listed.

    Examples
    --------
    >>> find_pretrained("imagenet-v2", "resnet50").source
    'torchvision resnet50, IMAGENET1K_V2'
    """
    files = PRETRAINED[word]
    if encoder not in files:
        hint = f"Available: {', '.join(files)}. Set encoder= for segmentation, or network= for classification."
        raise BadOption(f"an encoder with pretrained weights for encoder_weights={word}", f"`{encoder}`", hint)
    return files[encoder]


def identify(sha256: str) -> PretrainedWeights | None:
    """Return the pretrained weights with this digest, if any; eight digits are compared if no more are known.

    Examples
    --------
    >>> identify("8a719046" + 56 * "0").source
    'torchvision vgg11, IMAGENET1K_V1'
    >>> identify(64 * "0") is None
    True
    """
    for files in PRETRAINED.values():
        for published in files.values():
            if sha256.startswith(published.sha256):
                return published
    return None
