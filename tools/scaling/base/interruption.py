"""Signals that end a process: the first becomes an error, so that there is time to tidy up; the others go unheard."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tools.scaling.base.errors import Killed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible(kept: str = "") -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into Killed, and go deaf to the ones that follow it.

    kept: words at the end of its message, which say what is kept. A signal that was ignored stays so: nohup, or a shell
    that started us in the background, asked for it.
    """

    def once(number: int, _: FrameType | None) -> NoReturn:
        go_deaf()
        raise Killed(f"interrupted by {signal.Signals(number).name}{kept}")

    heard = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, once) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def go_deaf() -> None:
    """Hear no signal from now on: what is left to do is short, and must not be left half done.

    Handlers of our own, which a child does not inherit as it would an ignored signal.
    """
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, lambda *_: None)
