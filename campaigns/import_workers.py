"""Processes that judge blocks of a file, and end with the process that started them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, parent_process

# Below this size a process costs more than it saves.
_PROCESSES_FROM_BYTES = 4_000_000
_MOST_WORKERS = 4


def count_for(size_bytes: int) -> int:
    """Return how many blocks of a file of this size are worth judging at a time."""
    if size_bytes < _PROCESSES_FROM_BYTES:
        return 1
    # One core is Postgres'.
    return max(1, min(_MOST_WORKERS, (os.cpu_count() or 1) - 1))


def executor_for(size_bytes: int) -> Executor:
    """Return where blocks are judged: a thread for small files, else processes of their own."""
    if size_bytes < _PROCESSES_FROM_BYTES:
        return ThreadPoolExecutor(1, thread_name_prefix="import")
    # Fresh interpreters: a fork of this process would copy its event loop and its sockets.
    return ProcessPoolExecutor(
        count_for(size_bytes), mp_context=get_context("spawn"), initializer=_end_with_parent
    )


def _end_with_parent() -> None:
    """Leave when the parent is gone, however it went: a queue alone never tells."""
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
