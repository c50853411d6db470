"""A polite refusal where two processes would write into one folder.

The operating system releases the lock when its process ends, however it ends. Nothing depends on
it: where a file system has no locks, or lies about them, two writers still do no harm.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from samlab.errors import InputError, StorageError

_NAME = ".writer"


class WriterLock:
    """Held by the process that writes into a folder."""

    def __init__(self, handle: int, held: bool) -> None:
        self._handle = handle
        self.held = held

    @classmethod
    def take(cls, folder: Path) -> WriterLock:
        """Take the lock of a folder, which is made.

        Raises:
            InputError: Another living process has it.
            StorageError: The folder cannot be made or written.
        """
        path = folder / _NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StorageError(
                f"Could not write '{path}': {error.strerror or error}. Choose a folder for the "
                "results that can be written."
            ) from error
        try:
            held = _lock(handle)
        except BlockingIOError:
            owner = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise InputError(
                f"Another process is writing into '{folder}' ({owner or 'unknown'}). Wait for it "
                "to end, or choose another folder."
            ) from None
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return cls(handle, held)

    def release(self) -> None:
        """Give it back; the file stays, empty of meaning."""
        os.close(self._handle)


def _lock(handle: int) -> bool:
    """True: taken. False: this machine or file system has no locks. Raises where it is taken."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True
