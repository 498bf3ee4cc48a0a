"""Blocks of rows on several threads. A row's result does not depend on it, only the time does.

The pool holds as many threads as calls have ever asked for at one time, less the callers. It is made anew when calls
ask for more, and in the child of a fork (which inherits no threads). At interpreter exit, when no thread may be
started, the caller does all blocks itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol

import fastlogits._core as _core

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_WORKERS = 256
_BLOCKS_PER_THREAD = 4  # rows take unequal times: whoever is done early takes another block
_PIECE = _core.PIECE  # values between two moments at which the interpreter can answer a signal
_PATIENCE = 0.1  # seconds that an interrupted call waits for its helpers
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0  # threads that the pool may start
_asked = 0  # helpers of the calls that run now


def _forget() -> None:
    """Makes a forked child start without the pool and the lock of its parent."""
    global _pool, _lock, _size, _asked
    _pool, _lock, _size, _asked = None, threading.Lock(), 0, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _submit(work: Callable[[], None], count: int) -> list[Future[None]]:
    """``work`` on ``count`` threads of the pool, as far as it has them; `_release` gives them back."""
    global _pool, _size, _asked
    with _lock:
        _asked += count
        wanted = min(_asked, _MOST_WORKERS)
        if _pool is None or wanted > _size:
            if _pool is not None:
                _pool.shutdown(wait=False)  # its threads end with what they have begun
            _pool, _size = ThreadPoolExecutor(wanted, thread_name_prefix="fastlogits"), wanted
        helpers: list[Future[None]] = []
        with contextlib.suppress(RuntimeError):  # at interpreter exit no thread starts, and the caller works alone
            helpers.extend(_pool.submit(work) for _ in range(count))
        return helpers


def _release(count: int) -> None:
    """A call that asked for ``count`` threads has ended."""
    global _asked
    with _lock:
        _asked -= count


class Work(Protocol):
    """What does rows begin .. end - 1, and ends early, as if there were no memory, once ``stop`` says so."""

    def __call__(self, begin: int, end: int, stop: _core.Stop | None = None, /) -> None: ...


def run_blocks(work: Work, rows: int, threads: int, width: int) -> None:
    """Calls ``work(begin, end)`` for blocks that cover 0 .. rows, on up to ``threads`` threads, the caller's included.

    Returns when all blocks are done; the first exception of any block is raised. A block is done in pieces of rows of
    ``width`` values each, so that an interruption (Ctrl-C) is answered between two of them; other threads then end
    with the piece that they are at.
    """
    threads = min(threads, rows, _MOST_WORKERS)
    if width > _PIECE and rows:
        _run_long(work, rows, threads)
        return
    step = max(1, _PIECE // max(width, 1))
    if threads <= 1:
        for begin in range(0, rows, step):
            work(begin, min(begin + step, rows))
        return
    stopped = threading.Event()
    blocks = min(rows, threads * _BLOCKS_PER_THREAD)
    edges = [rows * i // blocks for i in range(blocks + 1)]
    todo = deque(itertools.pairwise(edges))

    def drain() -> None:
        while True:
            try:
                first, last = todo.popleft()
            except IndexError:
                return
            for begin in range(first, last, step):
                if stopped.is_set():
                    return
                work(begin, min(begin + step, last))

    helpers = _submit(drain, threads - 1)
    try:
        drain()
    except BaseException:
        stopped.set()
        raise
    finally:
        # A helper that never started is cancelled: its blocks are done. The others finish before memory is given up.
        started = [helper for helper in helpers if not helper.cancel()]
        errors = [error for helper in started if (error := helper.exception()) is not None]
        _release(threads - 1)
    if errors:
        raise errors[0]


def _run_long(work: Work, rows: int, threads: int) -> None:
    """Rows longer than a piece: helpers do all of them, and the caller waits where it can answer a signal.

    After an interruption the helpers end at the next pass over their row; what they write until then is nobody's but
    the arrays given as ``out``.
    """
    stop, todo = _core.Stop(), deque(range(rows))

    def drain() -> None:
        while True:
            try:
                row = todo.popleft()
            except IndexError:
                return
            work(row, row + 1, stop)

    helpers = _submit(drain, threads)
    try:
        if not helpers:
            drain()
        wait(helpers)
    except BaseException:
        todo.clear()
        stop.stop()
        wait(helpers, _PATIENCE)
        raise
    finally:
        _release(threads)
    errors = [error for helper in helpers if (error := helper.exception()) is not None]
    if errors:
        raise errors[0]
