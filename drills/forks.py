"""Running a function in a forked process: to its end, or until SIGKILL at a chosen moment."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


def run_in_fork(function: Callable[[], Any]) -> Any:
    """Run a function in a child process and return its result, which goes through JSON.

    Raises:
        RuntimeError: If it fails; its traceback is on standard error.
    """
    reader, writer = os.pipe()
    child = _fork(lambda: os.write(writer, json.dumps(function()).encode()), closes=reader)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        raise RuntimeError(f"{function} ended with status {code}; its traceback is above")
    return json.loads(content)


def kill_in_fork(function: Callable[[], object], seconds: float) -> bool:
    """Start a function in a child process and SIGKILL it after some seconds.

    Returns:
        True if it was still running and was killed, False if it had ended by itself.
    """
    child = _fork(function)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status != 0:
                raise RuntimeError(
                    f"{function} failed by itself: {os.waitstatus_to_exitcode(status)}"
                )
            return False
        time.sleep(min(0.001, max(0.0, deadline - time.monotonic())))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _fork(function: Callable[[], object], closes: int | None = None) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if closes is not None:
            os.close(closes)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
