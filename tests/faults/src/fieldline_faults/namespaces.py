"""Work done in a host's network, by a thread of this process.

A lab's network has no way in from the machine: what asks a host has to be in its namespace, where
it has the host's own address and the firewall lets it pass as the host itself.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from fieldline.errors import FieldlineError
from fieldline_lab.names import NETNS_ROOT

T = TypeVar("T")

# sched.h. Python has os.setns from 3.12 on.
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class _Work(threading.Thread, Generic[T]):
    """One piece of work, and what it gave."""

    def __init__(self, namespace: str, work: Callable[[], T]) -> None:
        # A daemon: an interrupted run does not wait for an answer that may never come.
        super().__init__(daemon=True, name=f"in {namespace}")
        self._path = NETNS_ROOT / namespace
        self._work = work
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._enter()
            self.result = self._work()
        except BaseException as error:
            self.error = error

    def _enter(self) -> None:
        """Move this thread, and no other, into the namespace."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise FieldlineError(
                f"There is no network {self._path.name}: the host is off."
            ) from error
        try:
            if _libc.setns(descriptor, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise FieldlineError(
                    f"The network {self._path.name} can't be entered.", os.strerror(number)
                )
        finally:
            os.close(descriptor)


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Do `work` in a network namespace, and give what it gives; its errors are raised here.

    Raises:
        FieldlineError: the host is off.
    """
    thread = _Work(namespace, work)
    thread.start()
    thread.join()
    if thread.error is not None:
        raise thread.error
    return thread.result  # type: ignore[return-value] # the work's own, which may be None
