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

_POLL_SECONDS = 0.0005
_PATIENCE_SECONDS = 300.0


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


def kill_in_fork(function: Callable[[], object], when: Callable[[], bool]) -> bool:
    """Start a function in a child process and SIGKILL it as soon as a condition holds.

    Args:
        function: Runs in the child.
        when: Asked all the time, in this process.

    Returns:
        True if it was still running and was killed, False if it had ended by itself.

    Raises:
        RuntimeError: If it fails by itself, or neither ends nor is to be killed.
    """
    child = _fork(function)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not when():
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status != 0:
                code = os.waitstatus_to_exitcode(status)
                raise RuntimeError(f"{function} failed by itself: {code}")
            return False
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise RuntimeError(f"{function} did not end within {_PATIENCE_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
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
