"""Calls of code that may come from a plugin."""

from __future__ import annotations

from typing import Any

from hashbench.errors import ClusterLost, CodeRaised, HashbenchError, InvalidCell, StoreUnusable


def explain(who: str, function: Any, *args: Any) -> Any:
    """Call code that may come from a plugin; any exception becomes a one-line reason that ends the cell.

    Raises:
        CodeRaised: the function raised something that ends no run: nothing of hashbench's own, or a refusal of what
            it was asked for, which comes too late to stop the other cells.
        InvalidCell, StoreUnusable, ClusterLost: the function raised it.
    """
    try:
        return function(*args)
    except (InvalidCell, StoreUnusable, ClusterLost):
        raise
    except HashbenchError as error:
        raise CodeRaised(f"{who}: {error}") from error
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename.rsplit('/')[-1]}:{trace.tb_lineno}" if trace else "?"
        reason = " ".join(str(error).split())[:200]
        raise CodeRaised(f"{who} raised {type(error).__name__} at {where}: {reason}") from error
