"""Every error samlab raises on purpose, under one base class, and numbers in sentences.

A message has three parts: what was expected, what came, and what to do next.
"""

from __future__ import annotations

from importlib.util import find_spec

_NO_MEMORY = ("out of memory", "can't allocate memory", "status_alloc_failed")


class SamlabError(Exception):
    """Base class of all errors that samlab raises on purpose."""


class ImageError(SamlabError, ValueError):
    """A picture could not be read, or is not what a picture should be."""


class CheckpointError(SamlabError, RuntimeError):
    """Model weights are missing, damaged, untrusted or of another model."""


class InputError(SamlabError, ValueError):
    """An argument is out of range, of the wrong shape or of the wrong kind."""


class FormatError(SamlabError, ValueError):
    """A file is not in the format it claims, or misses a field."""


class StorageError(SamlabError, OSError):
    """Results could not be written or read: no space, no permission, no such folder."""


class MissingExtraError(SamlabError, ImportError):
    """An optional package is needed for this and is not installed."""


class SamlabWarning(UserWarning):
    """A result is usable, but something about it should be known."""


def require_extra(module: str, extra: str, what: str) -> None:
    """Raise MissingExtraError unless `module` can be imported.

    Args:
        module: Top-level module name, for example `"transformers"`.
        extra: The extra of samlab that installs it, for example `"hf"`.
        what: What the caller wanted to do, as the subject of a sentence.

    Example:
        >>> require_extra("numpy", "hf", "Pooling")
    """
    if find_spec(module) is None:
        raise MissingExtraError(
            f"{what} needs the package '{module}', which is not installed. "
            f'Install it with: pip install "samlab[{extra}]"'
        )


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "class"), counted(1200, "class"), counted(2, "picture")
        ('1 class', '1,200 classes', '2 pictures')
    """
    plural = "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{'' if n == 1 else plural}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, on whatever device.

    CUDA's libraries have words of their own for it: cuBLAS and cuDNN fail to allocate their
    workspace, with an error that is not torch's.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
        True
    """
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _NO_MEMORY)
