"""Interpret file and folder names: split, role (image or mask) and pairing name."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pixelwise.datasets.records import Split
from pixelwise.io.volumes.names import stem_of

Role = Literal["image", "mask"]

# of macOS, Windows and network storage: thumbnails and what was deleted, between the folders of users
SYSTEM_FOLDERS = frozenset((
    "__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "recycler", "system volume information", "lost+found",
))  # fmt: skip

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(
        ("train", "training", "tr", "trainingsdaten", "entrenamiento", "entrainement", "entraînement", "apprentissage",
         "treino", "treinamento", "addestramento", "训练", "训练集", "訓練"), "train",
    ),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "validierung", "validierungsdaten",
         "validación", "validacion", "validação", "validacao", "validazione", "验证", "验证集", "検証"), "val",
    ),
    **dict.fromkeys(
        ("test", "testing", "ts", "holdout", "testdaten", "prueba", "pruebas", "teste", "testes", "测试", "测试集",
         "テスト"), "test",
    ),
}  # fmt: skip
IMAGE_WORDS = frozenset((
    "image", "images", "img", "imgs", "raw", "raws", "x", "input", "inputs", "picture", "pictures",
    "photo", "photos", "original", "originals", "jpegimages", "scan", "scans", "frame", "frames", "rgb", "org", "orig",
    "leftimg8bit", "bild", "bilder", "foto", "fotos", "imagen", "imagenes", "imágenes", "imagem", "imagens", "immagini",
    "изображения", "图像", "图片", "画像",
))  # fmt: skip
MASK_WORDS = frozenset((
    "mask", "masks", "label", "labels", "gt", "gts", "y", "ann", "anns", "anno", "annos", "annotation", "annotations",
    "annot", "annots", "target", "targets", "truth", "groundtruth", "ground_truth", "seg", "segs", "segmentation",
    "segmentations", "segmentationclass", "matte", "mattes", "matting", "labelling", "labeling", "lab", "lbl", "lbls",
    "masks_machine", "groundtruths", "labelmap", "labelmaps", "trimap", "trimaps", "gtfine", "gtcoarse",
    "maske", "masken", "masque", "masques", "mascara", "mascaras", "máscara", "máscaras", "maschera", "maschere",
    "segmentierung", "segmentierungen", "etiquetas", "rotulos", "rótulos", "маски", "标签", "掩码", "マスク",
))  # fmt: skip
_FILLERS = frozenset((
    "dir", "folder", "data", "png", "jpg", "tif", "tiff", "files", "all", "manual",  # as in img_dir
))  # fmt: skip
# what names of splits are about, as in TrainDataset and valcrop
_SET_WORDS = frozenset(("set", "sets", "dataset", "data", "split", "crop", "crops", "labeled", "labelled"))
_ENUMERATION = re.compile(r"^(?:\d{1,2}|[a-z])\. ?(?=\S)")  # as in "2. Masks"
# longest first, lower case: names are compared case-insensitively
MASK_SUFFIXES = (
    "_segmentation", "_groundtruth", "_annotation", "_cp_masks", "_cp_mask", "_masks", "_labels", "_annot", "_truth",
    "_label", "_matte", "_mask", "_anno", "_lbl", "_seg", "_gt", "_l", "_maske", "_masque", "_mascara", "_máscara",
    "_maschera",
)  # fmt: skip
MASK_PREFIXES = (
    "segmentation_", "annotation_", "masks_", "labels_", "label_", "mask_", "annot_", "lbl_", "seg_", "gt_",
)  # fmt: skip
_REMEMBERED = 1 << 15  # names: every format that is tried asks about each of them
_SPLIT_PREFIX = re.compile(rf"^({'|'.join(sorted((w for w in SPLIT_WORDS if len(w) > 2), reverse=True))})[a-z]?[_-]?\d")
_SPLIT_SUFFIX = re.compile(rf"[_. -]({'|'.join(sorted((w for w in SPLIT_WORDS if len(w) > 2), reverse=True))})$")
_IMAGE_PREFIX = re.compile(r"^(?:images?|imgs?)[_-](?=.)")
_IMAGE_SUFFIX = re.compile(r"(?<=.)[_-](?:images?|imgs?|im|raw|volume|vol|input|rgb|sat|original|orig)$")


def is_hidden_folder(name: str) -> bool:
    """Return whether a folder is hidden, or belongs to an operating system: ``.git``, ``__MACOSX``, ``@eaDir``."""
    return name.startswith((".", "__")) or name.casefold() in SYSTEM_FOLDERS


def normalised(name: str) -> str:
    """Return a name for comparison: NFC-normalised and case-folded."""
    return unicodedata.normalize("NFC", name).casefold()


def pairing_name(path: Path) -> str:
    """Return the name that pairs image and mask: the stem, NFC-normalised and case-folded."""
    return _pairing_name(path.name)


@lru_cache(maxsize=_REMEMBERED)
def _pairing_name(name: str) -> str:
    return normalised(stem_of(Path(name)))


def has_affix(name: str, affix: str) -> bool:
    """Return whether a pairing name has more than an affix: ``_mask`` (also ``-mask``) or ``mask_`` (``mask-``)."""
    forms = affix_forms(affix)
    return len(name) > len(affix) and (name.startswith(forms) if affix.endswith("_") else name.endswith(forms))


def strip_affix(name: str, affix: str) -> str:
    """Return a pairing name that has an affix without it."""
    return name[len(affix) :] if affix.endswith("_") else name[: -len(affix)]


@lru_cache
def affix_forms(*affixes: str) -> tuple[str, ...]:
    """Return the ways in which affixes are written: ``_mask``, ``-mask`` and ``.mask``."""
    return tuple(affix.replace("_", sign) for affix in affixes for sign in "_-.")


def is_mask_word(name: str) -> bool:
    """Return whether a pairing name is nothing but a word for masks, as in a folder per image."""
    return len(name) > 1 and name in MASK_WORDS


def is_image_word(name: str) -> bool:
    """Return whether a pairing name is nothing but a word for images."""
    return len(name) > 1 and name in IMAGE_WORDS


def strip_mask_words(name: str) -> str:
    """Remove the words for masks from a pairing name: ``7_mask`` becomes ``7``, ``mask`` becomes empty."""
    if is_mask_word(name):
        return ""
    if not name.endswith(affix_forms(*MASK_SUFFIXES)) and not name.startswith(affix_forms(*MASK_PREFIXES)):
        return name
    for affix in MASK_SUFFIXES:
        if has_affix(name, affix):
            return name[: -len(affix)]
    prefix = next((affix for affix in MASK_PREFIXES if has_affix(name, affix)), "")
    return name[len(prefix) :]


def strip_image_words(name: str) -> str:
    """Remove the words for images from a pairing name: ``img_7`` becomes ``7``, ``img`` becomes empty."""
    if is_image_word(name):
        return ""
    return _IMAGE_SUFFIX.sub("", _IMAGE_PREFIX.sub("", name))


def strip_role_words(name: str) -> str:
    """Remove the words for masks or, if there are none, those for images."""
    rest = strip_mask_words(name)
    return rest if rest != name else strip_image_words(name)


@lru_cache(maxsize=_REMEMBERED)
def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a natural sort key: ``slice_9`` before ``slice_10``."""
    pieces = re.findall(r"\d+|\D+", text)
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold()) for piece in pieces)


def read_folder_name(name: str) -> tuple[Split | None, Role | None]:
    """Return the split and the role in a folder name such as ``train_masks`` or ``trainannot``."""
    divided = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)  # ManualMask
    name = re.sub(r"[-. ]", "_", _ENUMERATION.sub("", normalised(name)))
    if name in SPLIT_WORDS:
        return SPLIT_WORDS[name], None
    if (role := _role(name) or _role(normalised(divided))) is not None:
        return None, role
    about_set: Split | None = None
    for word, split in SPLIT_WORDS.items():
        for whole in (name.removeprefix(word), name.removesuffix(word)):
            rest = whole.strip("_")
            # one letter needs a separator: `train_x`, but not `trainy`
            if len(whole) < len(name) and len(whole) > 1 and (role := _role(rest)) is not None:
                return split, role
            if len(whole) < len(name) and len(word) > 2 and rest in _SET_WORDS:
                about_set = split
    return about_set, None


def is_split_word(name: str) -> bool:
    """Return whether a folder name is nothing but a word for a split: ``test``, but not ``test_data``."""
    return normalised(name) in SPLIT_WORDS


def split_beside_role(name: str) -> Split | None:
    """Return the split in a name of several words of which another is for images or masks; None if there is none.

    >>> split_beside_role("ISIC2018_Task1_Training_GroundTruth"), split_beside_role("train_station")
    ('train', None)
    """
    words = re.findall(r"[a-z]+", normalised(name))
    splits: set[Split] = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS and len(word) > 2}
    role = any(len(word) > 1 and word in IMAGE_WORDS | MASK_WORDS for word in words)
    return splits.pop() if role and len(splits) == 1 else None


def splits_of_siblings(names: Iterable[str]) -> dict[str, Split]:
    """Return the splits of folder names that differ in the word for a split alone, such as ``uavid_train``.

    >>> splits_of_siblings(["uavid_train", "uavid_val", "train_station", "DUTS-TR", "DUTS-TE"])
    {'uavid_train': 'train', 'uavid_val': 'val', 'DUTS-TR': 'train', 'DUTS-TE': 'test'}
    """
    words: dict[str, Split] = {**SPLIT_WORDS, "te": "test"}
    by_rest: dict[str, dict[str, Split]] = {}
    for name in names:
        found = [match for match in re.finditer(r"[a-z]+", normalised(name)) if match[0] in words]
        if len(found) == 1:
            rest = normalised(name)[: found[0].start()] + normalised(name)[found[0].end() :]
            by_rest.setdefault(rest, {})[name] = words[found[0][0]]
    several = (found for found in by_rest.values() if len(set(found.values())) > 1 and "train" in found.values())
    return {name: split for found in several for name, split in found.items()}


def splits_in_names(names: Sequence[str]) -> list[Split]:
    """Return the split that begins each name, before a number, or ends each; nothing unless several occur.

    >>> splits_in_names(["train_1", "train_2", "testA_1"]), splits_in_names(["train_1", "train_2"])
    (['train', 'train', 'test'], [])
    >>> splits_in_names(["1_training", "2_training", "7-test"])
    ['train', 'train', 'test']
    """
    for find in (_SPLIT_PREFIX.match, _SPLIT_SUFFIX.search):
        matches = [find(normalised(name)) for name in names]
        found: list[Split] = [SPLIT_WORDS[match[1]] for match in matches if match is not None]
        if len(found) == len(names) and len(set(found)) > 1 and found.count("train") > 1:
            return found
    return []


def without_parent(name: str, parent: str) -> str:
    """Return a folder name without that of the folder around it, with which it begins.

    >>> without_parent("IMD002_lesion", "IMD002"), without_parent("images", "set")
    ('lesion', 'images')
    """
    begins = parent and normalised(name).startswith(normalised(parent))
    rest = name[len(parent) :] if begins else ""
    return rest.lstrip("_-. ") if rest[:1] in ("_", "-", ".", " ") and rest.strip("_-. ") else name


def looks_like_masks(name: str) -> bool:
    """Return whether a folder name contains a word for masks, such as ``masks_2nd_observer`` or ``ManualMask``."""
    words = {*re.findall(r"[a-z]+", normalised(name)), *map(normalised, re.findall(r"[A-Z][a-z]+|[A-Z]{2,}", name))}
    return any(word in MASK_WORDS or word.startswith("segmentation") for word in words if len(word) > 1)


def has_image_word(name: str) -> bool:
    """Return whether a folder name contains a word for images, such as ``frames-with-annotations``."""
    return any(word in IMAGE_WORDS for word in re.findall(r"[a-z]+", normalised(name)) if len(word) > 1)


def _role(name: str) -> Role | None:
    """Return the role in a name if all its words agree, such as ``y_masks`` and ``img_dir``."""
    if name in MASK_WORDS:
        return "mask"
    words = {word for word in name.split("_") if word not in _FILLERS}
    if words and words <= IMAGE_WORDS:
        return "image"
    return "mask" if words and words <= MASK_WORDS else None
