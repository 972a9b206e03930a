"""Calls of code that may come from a plugin."""

from __future__ import annotations

from typing import Any

from hashbench.errors import CodeRaised, HashbenchError


def explain(who: str, function: Any, *args: Any) -> Any:
    """Call code that may come from a plugin; any exception becomes a one-line reason that ends the cell.

    Raises:
        CodeRaised: the function raised something that is not hashbench's own.
    """
    try:
        return function(*args)
    except HashbenchError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename.rsplit('/')[-1]}:{trace.tb_lineno}" if trace else "?"
        reason = " ".join(str(error).split())[:200]
        raise CodeRaised(f"{who} raised {type(error).__name__} at {where}: {reason}") from error
