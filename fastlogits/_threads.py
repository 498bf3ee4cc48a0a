"""Blocks of rows on several threads. A row's result does not depend on it, only the time does.

The pool is made at the first call that asks for more than one thread, made anew in the child of a fork (which
inherits no threads), and at interpreter exit, when no thread may be started, the caller does all blocks itself.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_WORKERS = 256
_BLOCKS_PER_THREAD = 4  # rows take unequal times: whoever is done early takes another block
_PIECE = 1 << 21  # values between two moments at which the interpreter can answer a signal
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    """Makes a forked child start without the pool and the lock of its parent."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _workers() -> ThreadPoolExecutor:
    """The pool, made when first needed."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_MOST_WORKERS, thread_name_prefix="fastlogits")
        return _pool


def run_blocks(work: Callable[[int, int], None], rows: int, threads: int, width: int) -> None:
    """Calls ``work(begin, end)`` for blocks that cover 0 .. rows, on up to ``threads`` threads, the caller's included.

    Returns when all blocks are done; the first exception of any block is raised. A block is done in pieces of rows of
    ``width`` values each, so that an interruption (Ctrl-C) is answered between two of them; other threads then end
    with the piece that they are at.
    """
    threads = min(threads, rows, _MOST_WORKERS)
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

    helpers: list[Future[None]] = []
    try:
        try:
            pool = _workers()
            helpers.extend(pool.submit(drain) for _ in range(threads - 1))
        except RuntimeError:
            pass  # the interpreter is on its way out: no thread can be started, and the caller drains alone
        drain()
        # A helper that never started is cancelled: its blocks are done.
        errors = [error for helper in helpers if not helper.cancel() and (error := helper.exception()) is not None]
    except BaseException:  # the others end before memory is given up
        stopped.set()
        wait(helper for helper in helpers if not helper.cancel())
        raise
    if errors:
        raise errors[0]
