"""Checks of the shapes and types of arrays while tests run, in the functions and records that name them.

The option `--jaxtyping-packages` wraps every function of a package, which takes a quarter of the time of tests that
call many small ones: it is left to the slow tests. What is no array is checked by pyright.
"""

import ast
import re
import sys
from pathlib import Path

import jaxtyping
from beartype import beartype
from jaxtyping import _import_hook

SOURCE = Path(__file__).resolve().parents[1] / "src" / "pixelwise"
ARRAYS = {name for name in dir(jaxtyping) if name[0].isupper()}
check = beartype  # its name is part of those of the compiled files, which no other check shares


def find_aliases() -> set[str]:
    """Return the names that stand for types of arrays, such as `Images`."""
    alias = re.compile(rf"^(\w+) = .*\b(?:{'|'.join(sorted(ARRAYS))})\[", re.MULTILINE)
    return {name for path in SOURCE.rglob("*.py") for name in alias.findall(path.read_text("utf-8"))}


class ArraysOnly(_import_hook.JaxtypingTransformer):
    """Wraps what names arrays in its annotations."""

    names = ARRAYS | find_aliases()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        if self._names_arrays([node.returns, *(each.annotation for each in every if each is not None)]):
            return super().visit_FunctionDef(node)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        if self._names_arrays([each.annotation for each in node.body if isinstance(each, ast.AnnAssign)]):
            return super().visit_ClassDef(node)
        self.generic_visit(node)
        return node

    def _names_arrays(self, annotations: list[ast.expr | None]) -> bool:
        parts = [part for each in annotations if each is not None for part in ast.walk(each)]
        return any(isinstance(part, ast.Name) and part.id in self.names for part in parts)


def install() -> None:
    """Check what is imported from now on, unless the option of jaxtyping checks all of it."""
    if any(isinstance(finder, _import_hook._JaxtypingFinder) for finder in sys.meta_path):
        return
    _import_hook.JaxtypingTransformer = ArraysOnly
    _import_hook.install_import_hook("pixelwise", "array_checks.check")
