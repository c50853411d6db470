"""Which pictures segments come from, so that two of one name are not taken for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samlab.errors import InputError

_KEY = "pictures"


def with_source(provenance: Mapping[str, Any], image_id: str, digest: str) -> dict[str, Any]:
    """A provenance that says which picture is meant by the name.

    Args:
        provenance: Of the segments.
        image_id: The picture's name.
        digest: What was hashed and its SHA-256, such as `"file 3f0c..."`. Two digests of different
            kinds cannot be compared.
    """
    return {**provenance, _KEY: {image_id: digest}}


def renamed(provenance: Mapping[str, Any], image_id: str) -> dict[str, Any]:
    """The provenance of segments of one picture under another name."""
    known = provenance.get(_KEY)
    if not isinstance(known, Mapping):
        return dict(provenance)
    others = {name: value for name, value in provenance.items() if name != _KEY}
    return with_source(others, image_id, next(iter(known.values()))) if len(known) == 1 else others


def one_picture_each(provenances: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Which picture each name means in several tables together.

    Raises:
        InputError: One name means two pictures.

    Example:
        >>> one_picture_each([with_source({}, "a.jpg", "file 12"), {}])
        {'a.jpg': 'file 12'}
    """
    meant: dict[str, str] = {}
    for provenance in provenances:
        known = provenance.get(_KEY)
        for name, digest in known.items() if isinstance(known, Mapping) else ():
            before = meant.setdefault(name, str(digest))
            kinds = {text.split(" ")[0] for text in (before, str(digest))}
            if before != digest and len(kinds) == 1:
                raise InputError(
                    f"Expected a name of its own for each picture, but '{name}' stands for two "
                    "different ones. Give them names: segment(..., image_id='a/1.png'), or "
                    "segments.with_image_id('a/1.png')."
                )
    return meant
