"""Structural rules of the code that no other tool checks."""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS = ROOT / "src" / "pixelwise", ROOT / "tests"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted(folder.parent for folder in SOURCE.rglob("__init__.py") if folder.parent != SOURCE)

# what -> how it looks in code; each is a way to run foreign code, to fail without words, or an unfinished thought
FORBIDDEN = {
    "pickle": r"\bpickle\b",
    "eval or exec": r"(?<![.\w])(eval|exec)\(",
    "unsafe YAML": r"\byaml\.(load|unsafe_load|full_load)\(",
    "torch's pickled files": r"\btorch\.(load|save)\(",
    "numpy's pickled arrays": r"allow_pickle\s*=\s*True",
    "a shell": r"shell\s*=\s*True|os\.system\(",
    "print": r"(?<![.\w])print\(",
    "assert": r"^\s*assert\b",
    "unfinished work": r"\b(TODO|FIXME|XXX)\b|NotImplementedError",
    "late annotations": r"from __future__ import annotations",
}
NETWORK = {"requests", "urllib", "http", "socket", "aiohttp", "httpx", "ftplib"}
DOORS = {"model_file/torch_pickle.py": {"torch's pickled files"}}  # what one file alone may do
NETWORK_DOORS = {"workflow/weights/download.py"}
HEAVY_IMPORTS = {  # library -> the modules that may import it
    "PIL": {"io/"},
    "tifffile": {"io/"},
    "imagecodecs": {"io/"},
    "zarr": {"io/zarr"},
    "ray": {"cluster/ray_workers.py"},
    "obstore": {"io/object_store.py"},
    "cv2": {"io/arrays/frames.py"},
    "typer": {"cli/"},
    "pyproj": {"io/map_crs.py"},
    "rasterio": {"io/map_crs.py"},
    "roifile": {"datasets/formats/imagej_roi.py"},
    "onnx": {"exporters/to_onnx.py", "runtimes/onnx.py", "runtimes/onnx_shapes.py"},
    "onnxruntime": {"runtimes/onnx.py"},
    "openvino": {"runtimes/openvino.py"},
    "nncf": {"exporters/to_openvino.py"},
    "fastapi": {"server/"},
    "uvicorn": {"server/"},
    "starlette": {"server/"},
    "prometheus": {"server/"},
    "matplotlib": {"workflow/reporting", "workflow/inspection", "drawing/", "active_learning/learning_curve_plot.py"},
}


@dataclass(frozen=True)
class Facts:
    """What the tests ask of a file: `code` is without docstrings and comments, which may name what code may not do."""

    has_docstring: bool
    imported: set[str]
    named: set[str]
    wrong: list[str]
    code: str


@cache
def facts(path: Path) -> Facts:
    """Parse a file once for all tests; its tree is not kept, which takes a hundred times the memory."""
    tree = ast.parse(path.read_text("utf-8"))
    named = {name for text in docstrings(tree) for name in names_in(text)}
    return Facts(bool(ast.get_docstring(tree)), imported(tree), named, wrong_names(tree), code(tree))


def code(tree: ast.Module) -> str:
    """Return the code without docstrings and comments; the tree is changed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [item for item in node.body if not is_text(item)] or [ast.Pass()]
    return ast.unparse(tree)


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def in_files(look: Callable[[Path], Iterable[str]]) -> dict[str, set[str]]:
    """Return what a search finds in each file: a test for all files, as hundreds of them cost more than the search."""
    found = {name_of(path): set(look(path)) for path in FILES}
    return {name: what for name, what in found.items() if what}


def test_nothing_forbidden_is_used() -> None:
    def forbidden(path: Path) -> set[str]:
        text = facts(path).code
        found = {what for what, pattern in FORBIDDEN.items() if re.search(pattern, text, re.MULTILINE)}
        return found - DOORS.get(name_of(path), set())

    def network(path: Path) -> set[str]:
        return {name.split(".")[0] for name in facts(path).imported} & NETWORK

    assert in_files(forbidden) == {}
    assert in_files(network).keys() <= NETWORK_DOORS, "no network access"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import pickle", "pickle"),
        ("x = eval('1')", "eval or exec"),
        ("yaml.load(text)", "unsafe YAML"),
        ("torch.load(path)", "torch's pickled files"),
        ("print(1)", "print"),
        ("assert x", "assert"),
        ("raise NotImplementedError", "unfinished work"),
    ],
)
def test_the_search_finds_what_is_forbidden(line: str, what: str) -> None:
    assert re.search(FORBIDDEN[what], line, re.MULTILINE)
    assert not re.search(FORBIDDEN[what], "network.eval()\nblueprint(1)\nsafe_load(text)", re.MULTILINE)


def test_torch_reads_pickled_files_with_its_safe_reader_alone() -> None:
    lines = [
        line for line in facts(SOURCE / "model_file" / "torch_pickle.py").code.splitlines() if "torch.load" in line
    ]
    assert [line.strip() for line in lines] == ["content = torch.load(path, map_location='cpu', weights_only=True)"]


def test_heavy_libraries_are_imported_only_where_allowed() -> None:
    def elsewhere(path: Path) -> set[str]:
        got = {name.split(".")[0].split("_")[0] for name in facts(path).imported} & HEAVY_IMPORTS.keys()
        return {name for name in got if not name_of(path).startswith(tuple(HEAVY_IMPORTS[name]))}

    assert in_files(elsewhere) == {}


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_holds_one_sentence_and_is_mirrored_by_tests(room: Path) -> None:
    body = ast.parse((room / "__init__.py").read_text("utf-8")).body
    assert [type(node) for node in body] == [ast.Expr], "a room's __init__ is one docstring"
    assert is_text(body[0])
    mirror = TESTS / room.relative_to(SOURCE)
    assert list(mirror.glob("test_*.py")), f"no tests for {name_of(room)}"


def test_every_file_says_what_it_is_for() -> None:
    assert [name_of(path) for path in FILES if not facts(path).has_docstring] == []


def test_every_file_of_tests_says_what_it_holds() -> None:
    silent = [path.name for path in TESTS.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def names_in(text: str) -> set[str]:
    """Return the names in backticks that can be nothing but code: words with an underscore inside or in front."""
    return set(re.findall(r"(?<!`)`([A-Za-z]\w*_\w*|_\w+)(?:\(\))?`(?!`)", text))


def docstrings(tree: ast.AST) -> list[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]


def test_docstrings_name_nothing_that_is_gone() -> None:
    words = " ".join([facts(path).code for path in FILES] + [path.relative_to(SOURCE).as_posix() for path in FILES])
    known = set(re.findall(r"\w+", words))
    named = {(name_of(path), name) for path in FILES for name in facts(path).named}
    assert len(named) > 100
    assert {(path, name) for path, name in named if name not in known} == set()


def test_the_search_for_names_finds_them() -> None:
    assert names_in("See `weight_store`, `_unet_on()` and `member1.`") == {"weight_store", "_unet_on"}
    assert names_in("``weight_store``, `cpu.cfs_quota_us`, `zscore`, `tile_size * 2`") == set()


def wrong_names(tree: ast.Module) -> list[str]:
    """Return what the docstrings of a module list as parameters, although no function or class has them."""
    wrong: list[str] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        listed = re.search(r"^Parameters\n-+\n(.*?)(\n\n|\Z)", ast.get_docstring(node) or "", re.MULTILINE | re.DOTALL)
        heads = re.findall(r"^(\S[^:\n]*)(?: :|$)", listed[1], re.MULTILINE) if listed else []
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        fields = [field.target for field in inner if isinstance(field, ast.AnnAssign)]
        known = {field.id for field in fields if isinstance(field, ast.Name)}
        for function in inner:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                known |= {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        names = [name.strip().lstrip("*") for head in heads for name in head.split(",")]
        wrong += [f"{node.name}: {name}" for name in names if name not in known]
    return wrong


def test_documented_parameters_exist() -> None:
    assert in_files(lambda path: facts(path).wrong) == {}


def test_the_search_for_documented_parameters_finds_those_that_are_gone() -> None:
    text = "Parameters\n    ----------\n    {} : int\n        Of it.\n    *rest, **more\n    "
    function = 'def f(new: int, *rest: int, **more: int) -> None:\n    """F.\n\n    {}"""\n'
    for name, found in (("new", []), ("old", ["f: old"])):
        assert wrong_names(ast.parse(function.format(text.format(name)))) == found


@pytest.mark.parametrize(
    ("line", "kept"),
    [("from {0}.version import __version__", True), ("from {0} import __version__", False), ("import {0}", False)],
)
def test_the_contract_of_the_public_face_sees_who_imports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, kept: bool
) -> None:
    from importlinter.cli import lint_imports

    contracts = (ROOT / "pyproject.toml").read_text("utf-8").split("[[tool.importlinter.contracts]]")
    (face,) = [text for text in contracts if "imports the public face" in text]
    root = tmp_path / "sample_face"
    (root / "inside").mkdir(parents=True)
    files = {"__init__": "", "version": '__version__ = "1"', "inside/__init__": "", "inside/user": line}
    for file, text in files.items():
        (root / f"{file}.py").write_text(text.format(root.name) + "\n", "utf-8")
    head = f'[tool.importlinter]\nroot_package = "{root.name}"\n[[tool.importlinter.contracts]]'
    config = tmp_path / "pyproject.toml"
    config.write_text(head + face.replace('"pixelwise', f'"{root.name}'), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert (lint_imports(config_filename=str(config), no_cache=True) == 0) is kept


def test_no_package_takes_the_name_of_a_public_function() -> None:
    import pixelwise

    folders = {path.name for path in SOURCE.iterdir()} | {path.stem for path in SOURCE.glob("*.py")}
    assert folders & set(pixelwise.__all__) == set(), "importing it would hide the function"


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_version_is_the_same_everywhere() -> None:
    import pixelwise

    version = pixelwise.__version__
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_verb_has_its_page() -> None:
    for verb in ("train", "evaluate", "predict", "report", "inspect", "doctor", "export", "forecast"):
        assert (ROOT / "docs" / f"{verb}.md").is_file()
