"""The public names, and the fast import of the package."""

import json
import subprocess
import sys

import pytest

import pixelwise

HEAVY = ["torch", "numpy", "scipy", "skimage", "matplotlib", "PIL", "typer", "rich", "ray"]


def in_fresh_python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", pixelwise.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pixelwise, name) is not None
    assert name in dir(pixelwise)


def test_the_face_is_a_dozen_names_in_order() -> None:
    assert len(pixelwise.__all__) <= 18
    assert pixelwise.__all__ == sorted(pixelwise.__all__)


def test_verbs_are_functions_and_not_the_modules_they_stand_in() -> None:
    for verb in (
        "train",
        "evaluate",
        "predict",
        "load",
        "report",
        "inspect",
        "convert",
        "demo",
        "export",
        "forecast",
        "verify",
        "doctor",
    ):
        assert callable(getattr(pixelwise, verb))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trian'; it has: .*train"):
        _ = pixelwise.trian  # pyright: ignore[reportAttributeAccessIssue]


def test_import_loads_nothing_heavy() -> None:
    program = "import sys, json, pixelwise; print(json.dumps(sorted(m for m in sys.modules)))"
    loaded = set(json.loads(in_fresh_python(program)))
    assert loaded & set(HEAVY) == set()


def test_import_loads_one_module_and_no_other() -> None:
    program = "import sys; before = set(sys.modules); import pixelwise; print(*sorted(set(sys.modules) - before))"
    assert in_fresh_python(program).split() == ["pixelwise"]


def test_errors_can_be_caught_without_loading_torch() -> None:
    program = "import sys, pixelwise; pixelwise.PixelwiseError; print('torch' in sys.modules)"
    assert in_fresh_python(program).strip() == "False"


def test_loading_a_model_for_prediction_does_not_load_the_compiler() -> None:
    program = "import sys, pixelwise; pixelwise.load; print(*sys.modules)"
    assert [name for name in in_fresh_python(program).split() if name == "torch._dynamo"] == []
