"""Doing something in another network namespace from this process: one thread goes there and never comes back.

A socket stays in the namespace where it was made, so servers and connections made there can be used anywhere.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_NEW_NETWORK = 0x40000000


def enter_network(pid: int) -> None:
    """Move the calling thread into the network namespace of that process."""
    library = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if library.setns(fd, _NEW_NETWORK) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"the network of process {pid} cannot be entered: {os.strerror(number)}")
    finally:
        os.close(fd)


def in_network(pid: int, work: Callable[[], T]) -> T:
    """What `work` gives, called in a thread of its own inside that process's network."""
    answers: list[T] = []
    faults: list[BaseException] = []

    def there() -> None:
        try:
            enter_network(pid)
            answers.append(work())
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=there, name="in-network")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return answers[0]
