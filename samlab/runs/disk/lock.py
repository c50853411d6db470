"""A polite refusal where two processes would write into one folder.

The lock goes when its process ends, however it ends. Nothing depends on it: where a file system has
no locks, or lies about them, two writers still do no harm.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from samlab.errors import InputError, StorageError
from samlab.files import write_atomic

_NAME, _OWNER = ".writer", ".writer-owner"


class WriterLock:
    """Held by the process that writes into a folder; `held` is False where there are no locks."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        self.held = bool(lock.is_locked)

    @classmethod
    def take(cls, folder: Path) -> WriterLock:
        """Take the lock of a folder, which is made.

        Raises:
            InputError: Another living process has it.
            StorageError: The folder cannot be made or written.
        """
        path = folder / _NAME
        lock = FileLock(path, timeout=0, thread_local=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise InputError(
                f"Another process is writing into '{folder}' ({_owner(folder)}). Wait for it to "
                "end, or choose another folder."
            ) from None
        except OSError:
            _check_writable(path)  # else it has no locks
        with suppress(StorageError):
            words = f"process {os.getpid()} on {socket.gethostname()}\n"
            write_atomic(folder / _OWNER, words)
        return cls(lock)

    def release(self) -> None:
        """Give it back; the files stay, empty of meaning."""
        self._lock.release()


def _owner(folder: Path) -> str:
    """Who has the lock, in words that lie beside it: Windows lets nobody read a locked file."""
    try:
        return (folder / _OWNER).read_text(encoding="utf-8")[:200].strip()
    except (OSError, ValueError):
        return "unknown"


def _check_writable(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:
        raise StorageError(
            f"Could not write '{path}': {error.strerror or error}. Choose a folder for the "
            "results that can be written."
        ) from error
