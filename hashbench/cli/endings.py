"""How a command ends: with what it was asked for, or with one line and an exit code, whatever stops it."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from hashbench.errors import BadParameter, HashbenchError
from hashbench.readers.text import printable, shown

LONGEST = 2000  # characters of an error's line
FAILED = 2  # the exit code of a request that can't be carried out
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # signals that ask a program to end
IMPORT = 20.0  # seconds that a signal waits for an import to end
AGAIN = 0.05  # seconds after which it is tried again


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end.

    Attributes:
        code: the exit code of a program that such a signal ended.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.code = 128 + number


class _Signals:
    """The first signal raises `Stopped`, so that workers are ended and messages printed; a second one ends at once.

    While a module is being imported the first one waits: compiled modules, torch's among them, drop what is raised
    then, or abort. What Python drops, in finalizers and weak references, is raised again.
    """

    def __init__(self) -> None:
        self.stop: Stopped | None = None
        self.said = False
        self._latest = 0.0
        self._waits = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.stop is None:
            self.stop = Stopped(number)
            self._latest = time.monotonic() + IMPORT
            self._raise(frame)
            return
        if not self.said:
            with contextlib.suppress(OSError):
                os.write(2, b"stopped at once; what was finished is kept\n")
        os._exit(128 + number)

    def raise_later(self) -> None:
        """Raise again what was not heard."""
        self._waits = True
        signal.signal(signal.SIGALRM, lambda _, frame: self._raise(frame))
        signal.setitimer(signal.ITIMER_REAL, AGAIN)

    def wait_no_longer(self) -> bool:
        """Whether a signal was still waiting, which is raised no more."""
        waited, self._waits = self._waits, False
        if waited:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return waited

    def _raise(self, frame: FrameType | None) -> None:
        self._waits = False
        if hasattr(signal, "setitimer") and time.monotonic() < self._latest and _importing(frame):
            self.raise_later()
        elif self.stop is not None:
            raise self.stop


def _importing(frame: FrameType | None) -> bool:
    """Whether a command is importing a module, whatever imported the command itself."""
    while frame is not None and frame.f_code is not end.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


_signals = _Signals()


def end(command: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit with its code; every error is one line on standard error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have bytes that are no text
    with _heard():
        try:
            _refuse_nul(sys.argv[1:])
            code = command() or 0
            if _signals.stop is not None and _signals.wait_no_longer():
                raise _signals.stop
            sys.exit(code)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else error.message)
            sys.exit(FAILED)
        except click.ClickException as error:
            where = f"{error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
            _fail(f"{error.format_message().rstrip('.')}{f'; see {where!r}' if where else ''}")
        except HashbenchError as error:
            _fail(error.on_command_line or str(error))
        except click.Abort:
            _stop(Stopped(), "stopped")
        except _HandedOnError as error:
            _give_up(error.cause)
        except (KeyboardInterrupt, OSError) as error:
            _give_up(error)
        except Exception:
            if _signals.stop is None:
                raise
            _give_up(_signals.stop)


def say(text: str, *, err: bool = False, limit: int = LONGEST) -> None:
    """Print a line with names or paths of the user's in it, up to a length, with what harms a terminal escaped."""
    click.echo(printable(text, limit), err=err)


def described(error: OSError) -> str:
    """What the system refused, with the path where it names one."""
    what = f"can't use {printable(str(error.filename))}" if error.filename else "can't write the output"
    return f"{what} ({error.strerror or error}); free some space, or choose another place"


class Commands(click.Group):
    """A group of commands for `end`, which hears of signals and lost output itself: click would say it otherwise."""

    def make_context(self, *words: Any, **more: Any) -> click.Context:
        """As click does."""
        with _handed_on():
            return super().make_context(*words, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does."""
        with _handed_on():
            return super().invoke(ctx)


class _HandedOnError(Exception):
    def __init__(self, cause: KeyboardInterrupt | OSError) -> None:
        super().__init__()
        self.cause = cause


@contextmanager
def _handed_on() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        raise _HandedOnError(error) from error


@contextmanager
def resumable(store: Path) -> Iterator[None]:
    """Say on a signal that the store keeps what was finished; libraries may make an error of their own of it."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        stop = _signals.stop or (Stopped() if isinstance(error, KeyboardInterrupt) else None)
        if stop is None:
            raise
        _stop(stop, f"stopped: finished cells are kept in {store}; run the same command to resume")


@contextmanager
def _heard() -> Iterator[None]:
    """Listen to signals, but for those that the parent wants ignored, as nohup does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _signals)
    dropped = sys.unraisablehook
    sys.unraisablehook = functools.partial(_raise_again, dropped)
    try:
        yield
    finally:
        sys.unraisablehook = dropped
        if _signals.stop is None:
            for number, handler in before.items():
                signal.signal(number, handler)


def _raise_again(otherwise: Callable[[sys.UnraisableHookArgs], Any], dropped: sys.UnraisableHookArgs) -> None:
    if isinstance(dropped.exc_value, Stopped) and hasattr(signal, "setitimer"):
        _signals.raise_later()
    else:
        otherwise(dropped)


def _give_up(error: KeyboardInterrupt | OSError) -> NoReturn:
    if isinstance(error, OSError):
        _lose(error)
    _stop(error if isinstance(error, Stopped) else Stopped(), "stopped")


def _stop(stop: Stopped, message: str) -> NoReturn:
    _signals.wait_no_longer()
    _signals.said = True
    _say(message)
    sys.exit(stop.code)


def _fail(message: str) -> NoReturn:
    _signals.wait_no_longer()
    _say(f"error: {' '.join(message.split())}")
    sys.exit(FAILED)


def _lose(error: OSError) -> NoReturn:
    """End where something can't be read or written; a reader that has left, as `head` does, has what it wanted."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(0)
    _fail(described(error))


def _refuse_nul(words: list[str]) -> None:
    """Refuse what no path can hold; only a program that starts this one without a shell can give it."""
    for word in words:
        if "\0" in word:
            raise BadParameter(f"{shown(word)} holds a NUL character, which no name and no path has; leave it out")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        say(line, err=True)
