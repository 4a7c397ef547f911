"""Handling of signals."""

import signal

import pytest

from pixelwise.workflow.fit.signals import interrupt_on_signals

STOPS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_handlers_are_given_back_when_a_signal_comes_while_they_change(
    call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, calls = [signal.getsignal(number) for number in STOPS], list[int]()
    change = signal.signal

    def interrupted(number: int, handler: object) -> None:
        change(number, handler)  # type: ignore[arg-type]
        calls.append(number)
        if len(calls) == call:
            raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), interrupt_on_signals():
            pass
        assert [signal.getsignal(number) for number in STOPS] == before
    finally:
        for number, handler in zip(STOPS, before, strict=True):
            change(number, handler)
