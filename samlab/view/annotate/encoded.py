"""Pictures made ready for prompts: read and encoded, in the background."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samlab.view.prompter import warm_up

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from samlab.sam.fast import ImageEmbedding

_KEPT = 3  # encoded pictures: the one before, this one, the next one


@dataclass
class EncodedPicture:
    """A picture that can be prompted.

    Attributes:
        pixels: uint8 RGB (H, W, 3).
        features: The picture, encoded.
    """

    pixels: np.ndarray
    features: ImageEmbedding
    _decoder: Any = None

    def decoder(self, sam: Sam) -> Any:
        """The decoder of this picture, opened once."""
        if self._decoder is None:
            from samlab.sam.fast import open_decoder

            self._decoder = open_decoder(sam, self.features)
        return self._decoder


class PictureEncoder:
    """Loads the model on first use and keeps the last few pictures encoded.

    Args:
        sam: A model from `load_sam`, or a name or path for it.
        read: Reads a picture by its name.
    """

    def __init__(self, sam: Sam | str | Path, read: Callable[[str], np.ndarray]) -> None:
        self._sam = sam
        self._read = read
        self._encoded: OrderedDict[str, EncodedPicture] = OrderedDict()
        self._busy = threading.RLock()

    def sam(self) -> Sam:
        """The model."""
        with self._busy:
            if isinstance(self._sam, (str, os.PathLike)):
                from samlab.sam.load import load_sam

                self._sam = load_sam(self._sam)
            return self._sam

    def is_ready(self, name: str) -> bool:
        """Whether a picture can be prompted at once."""
        return name in self._encoded

    def get(self, name: str) -> EncodedPicture:
        """A picture ready for prompts; encoded now, where it is not."""
        found = self._encoded.get(name)
        if found is not None:
            return found
        with self._busy:
            if name not in self._encoded:
                from samlab.sam.fast import encode

                pixels = self._read(name)
                self._encoded[name] = EncodedPicture(pixels, encode(pixels, self.sam()))
                while len(self._encoded) > _KEPT:
                    self._encoded.popitem(last=False)
            return self._encoded[name]

    def start(self, name: str, then: Callable[[Exception | None], None]) -> None:
        """Make a picture ready in the background, then call `then` with None or the error."""

        def work() -> None:
            try:
                picture = self.get(name)
                warm_up(self.sam(), picture.features, picture.decoder(self.sam()))
            except Exception as error:  # noqa: BLE001 (a thread has no one else to tell)
                then(error)
            else:
                then(None)

        threading.Thread(target=work, name=f"samlab-encode-{name}", daemon=True).start()
