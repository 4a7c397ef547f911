"""Where workers run: what --on accepts, and which Ray clusters are refused before anything is asked."""

import pytest

from pixelwise.cluster.places import Place, check_cluster, parse_place
from pixelwise.errors import BadOption


@pytest.mark.parametrize(
    ("text", "head"),
    [("ray://head:6379", "head:6379"), ("ray://10.0.0.1:1", "10.0.0.1:1"), ("ray://[::1]:6379", "[::1]:6379")],
)
def test_a_ray_cluster_is_named_by_its_head(text: str, head: str) -> None:
    place = parse_place(text)
    assert isinstance(place, Place)
    assert place.ray == head


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "local:0", "local:-1", "local:9999", "local:two", "slurm", "local:1 "),
        *("ray", "ray://", "ray://head", "ray://head:0", "ray://head:6379/x", "ray://a b:1", "ray://-:1;rm"),
    ],
)
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(BadOption, match="local:N, ray://"):
        parse_place(text)


@pytest.mark.parametrize("mode", [{}, {"RAY_AUTH_MODE": "disabled"}])
def test_a_shell_without_token_is_refused(mode: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(BadOption, match="RAY_AUTH_MODE=token") as error:
        check_cluster("head:6379", mode)
    assert "\n" not in str(error.value)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadOption, match=r"pixelwise\[cluster\]"):
        check_cluster("head:6379", {"RAY_AUTH_MODE": "token"})
