"""The explorer: picture, map, k-distance curve, eps slider and class table, linked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
import traitlets

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.latent.cluster import Method, auto_min_samples
from samlab.latent.embed import ColourTexture, Embedder, PatchFeatures, embed, pool
from samlab.latent.partition import TOGETHER
from samlab.latent.projection import project
from samlab.latent.vectors import vectors_of
from samlab.masks import compress
from samlab.segments import Segments
from samlab.view.explorer.edits import edit_lines, with_pins
from samlab.view.explorer.map_points import checked_points, principal_axes, umap_later
from samlab.view.explorer.tuning import Settings, Tuning
from samlab.view.overlay import overlay, still_scale
from samlab.view.scene import scene
from samlab.view.widget import BaseWidget, colors

_METRICS = (("cosine", "cosine"), ("euclidean", "euclidean"))
_METHODS = (("dbscan", "DBSCAN"), ("hdbscan", "HDBSCAN"), ("ward", "Ward"))
_POOLINGS = (("coverage", "coverage"), ("any", "any patch"))
_CODE = """clustering = samlab.cluster(
    segments, eps={eps}, min_samples={min_samples},
    metric={metric}, method={method}, embedding={embedding}, fill={fill},
)
segments = segments.with_labels(clustering.labels)
"""
_POOLED = """segments = segments.with_embedding(
    {embedding}, samlab.pool(features, segments, how={pooling})
)
"""
_CELL = """eps = {eps}
min_samples = {min_samples}
metric = {metric}
method = {method}
"""
_COMMAND = "-p eps {eps} -p min_samples {min_samples} -p metric {metric} -p method {method}"

_TEMPLATES = {"Python": _CODE, "Parameters cell": _CELL, "papermill options": _COMMAND}


class Explorer(BaseWidget):
    """See `explore`.

    Attributes:
        selected: Ids of the selected segments, both ways: set it, and the page shows it.
    """

    sweep = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    projection = traitlets.Dict().tag(sync=True)
    _written: ClassVar[tuple[str, ...]] = (
        "kind", "payload", "sweep", "state", "selected", "projection",
    )  # fmt: skip

    def __init__(
        self,
        segments: Segments,
        image: ImageLike,
        settings: Settings,
        *,
        eps: float | Literal["auto"] = "auto",
        features: PatchFeatures | None = None,
        points: np.ndarray | None = None,
        embedders: Sequence[Embedder] = (),
        masks: Segments | None = None,
        otherwise: Settings | None = None,
    ) -> None:
        self._segments = segments
        self._pixels = read_image(image)
        self._embedding = features
        self._poolable = "sam" if features is not None else None
        if features is not None and segments.embeddings and "sam" not in segments.embeddings:
            self._poolable = next(iter(segments.embeddings))
        self._embedders = {e.name: e for e in embedders if e.name not in segments.embeddings}
        packed = scene(segments, self._pixels)
        own = segments.labels
        labelled = bool((own >= 0).any()) and eps == "auto"
        given = own if labelled else None
        self._tuning = Tuning(self._source(settings), settings, given, exact=True)
        if otherwise is not None and labelled and self._tuning.given is None:
            second = Tuning(self._source(otherwise), otherwise, given, exact=True)
            if second.given is not None:
                self._tuning = second
        self._thread: threading.Thread | None = None
        records = [
            {"label": label, "name": name, "members": np.flatnonzero(own == label).tolist()}
            for label, name in segments.class_names.items()
            if label >= 0 and (own == label).any()
        ]
        if labelled:
            step = self._tuning.given
            value = None if step is None else float(self._tuning.eps[step])
            state = _state(own, -1 if step is None else step, value, records)
        else:
            state = self._state_at(self._tuning.suggested if eps == "auto" else eps, records)
        choices: dict[str, Any] = {
            "method": _METHODS,
            "metric": _METRICS,
            "embedding": [(name, name) for name in self._vector_names()],
            "pooling": _POOLINGS if features is not None else (),
        }
        super().__init__(
            kind="explorer",
            payload={
                "title": segments.image_id,
                "scene": packed,
                "choices": {key: [list(pair) for pair in value] for key, value in choices.items()},
                "templates": _TEMPLATES,
                "prefixes": self._prefixes(),
                "poolable": self._poolable,
                "masks": [] if masks is None else _counts(masks, segments),
                **colors(),
            },
            sweep=self._tuning.payload(),
            state=state,
        )
        if points is None:
            self._lay_out(settings)
        else:
            self.projection = _map_points(checked_points(points, len(segments)), "map")

    # -- what a person made of it ---------------------------------------------------------------

    @property
    def labels(self) -> np.ndarray:
        """The classes shown, int64 (N,); -1 is noise."""
        return np.array(self.state["labels"], np.int64)

    @property
    def class_names(self) -> dict[int, str]:
        """The names given to classes that exist now."""
        return {int(label): str(name) for label, name in self.state["names"].items()}

    @property
    def segments(self) -> Segments:
        """The segments with the classes and names as they are shown now."""
        result = self._segments.with_labels(self.labels, self.class_names)
        pooled = self._pooled(self._tuning.settings)
        name = self._tuning.settings.embedding
        return result if pooled is None else result.with_embedding(name, pooled)

    @property
    def eps(self) -> float | None:
        """The radius shown; None while classes are that no radius gives. Set it to cluster anew."""
        value = self.state["value"]
        return None if value is None else float(value)

    @eps.setter
    def eps(self, value: float) -> None:
        self.state = self._state_at(float(value), self.state["records"], self.edits)

    @property
    def fill(self) -> bool:
        """Whether noise takes the nearest class, where that is near enough. Set it to cluster anew;
        classes that no eps gives stay as they are."""
        return bool(self.state.get("fill", False))

    @fill.setter
    def fill(self, value: bool) -> None:
        self.state = {**self.state, "fill": bool(value)}
        if self.eps is not None:
            self.eps = self.eps

    @property
    def edits(self) -> dict[int, int]:
        """Class by segment of what was edited by hand: it stays there whatever eps is."""
        return {int(i): int(label) for i, label in self.state["pins"]}

    def let_go(self) -> None:
        """Segments edited by hand go where the clustering has them."""
        now = self.state
        kept = {"hidden": now["hidden"], "fill": self.fill}
        self.state = _state(self._base, now["step"], now["value"], now["records"]) | kept

    @property
    def settings(self) -> dict[str, Any]:
        """Vectors, pooling, method, metric, min_samples, eps and fill, by name."""
        return {**asdict(self._tuning.settings), "eps": self.eps, "fill": self.fill}

    def rename(self, label: int, name: str) -> None:
        """Name a class. An empty name takes the name away."""
        members = np.flatnonzero(self.labels == label).tolist()
        if label < 0 or not members:
            known = sorted({int(v) for v in self.labels if v >= 0})
            raise InputError(f"Expected one of the classes {known}, got {label}.")
        records = [r for r in self.state["records"] if r["label"] != label]
        names = {k: v for k, v in self.state["names"].items() if int(k) != label}
        if name.strip():
            records.append({"label": label, "name": name.strip(), "members": members})
            names[str(label)] = name.strip()
        self.state = {**self.state, "records": records, "names": names}

    def select(self, ids: Sequence[int] | np.ndarray) -> None:
        """Select segments by id, everywhere in the page."""
        chosen = np.asarray(ids, np.int64).ravel()
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(self._segments)):
            raise InputError(
                f"Expected segment ids from 0 to {len(self._segments) - 1}, got "
                f"{int(chosen.min())} to {int(chosen.max())}."
            )
        self.selected = sorted({int(i) for i in chosen})

    def code(self) -> str:
        """Python that clusters the segments with the settings shown, and makes the edits again."""
        prefix = self._prefixes().get(self._tuning.settings.embedding, "")
        code = _filled(prefix + _CODE, self._written_settings())
        return code + edit_lines(self.labels, self.edits, self.class_names)

    def parameters(self) -> str:
        """The settings as lines of a papermill parameters cell."""
        return _filled(_CELL, self._written_settings())

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _base(self) -> np.ndarray:
        """The classes without what a person did, int64 (N,)."""
        return np.array(self.state["base"], np.int64)

    def _written_settings(self) -> dict[str, Any]:
        return {**self.settings, "eps": "auto" if self.eps is None else self.eps}

    def _handle(self, content: dict[str, Any]) -> None:
        kind = content.get("kind")
        if kind == "value":
            self.eps = content["value"]
        elif kind == "recluster":
            settings = self._tuning.settings.changed(content["settings"])
            tuning = self._tune(settings, self._base)
            self._take_up(tuning)
            records, edits = self.state["records"], self.edits
            with self.hold_sync():
                self.sweep = tuning.payload()
                self.state = self._state_at(tuning.suggested, records, edits)
        elif kind == "settings":  # after an undo in the page, which has the labels already
            settings = self._tuning.settings.changed(content["settings"])
            if settings != self._tuning.settings:
                self._take_up(self._tune(settings, self._base))
                self.sweep = self._tuning.payload()

    def _tune(self, settings: Settings, reference: np.ndarray | None) -> Tuning:
        return Tuning(self._source(settings), settings, reference)

    def _take_up(self, tuning: Tuning) -> None:
        """Go on with other settings, and another map where they need one; or stay with the old."""
        before, self._tuning = self._tuning, tuning
        if _vectors_key(before.settings) == _vectors_key(tuning.settings):
            return
        try:
            self._lay_out(tuning.settings)
        except Exception:
            self._tuning = before
            raise

    def _vector_names(self) -> list[str]:
        """Vectors that can be chosen: those there are, those to pool, those to compute."""
        own = [self._poolable] if self._poolable is not None else []
        return list(dict.fromkeys([*self._segments.embeddings, *own, *self._embedders]))

    def _source(self, settings: Settings) -> Segments:
        """The segments with the vectors to cluster by."""
        name = settings.embedding
        missing = name in self._embedders and name not in self._segments.embeddings
        if missing and len(self._segments):
            self._segments = embed(self._pixels, self._segments, self._embedders[name])
        pooled = self._pooled(settings)
        return self._segments if pooled is None else self._segments.with_embedding(name, pooled)

    def _vectors(self, settings: Settings) -> np.ndarray:
        source = self._source(settings)
        return vectors_of(source, settings.embedding or None, metric=settings.metric)

    def _pooled(self, settings: Settings) -> np.ndarray | None:
        """Vectors pooled anew, where the picture's embedding is at hand and they are chosen."""
        if self._embedding is None or len(self._segments) == 0:
            return None
        if settings.embedding != self._poolable:
            return None  # vectors of another kind, made otherwise
        return pool(self._embedding, self._segments, how=settings.pooling)  # type: ignore[arg-type]

    def _lay_out(self, settings: Settings) -> None:
        """Make the map; with a page to show it in, UMAP comes later and principal axes first."""
        vectors = self._vectors(settings)
        if not self._live or len(vectors) < 2:
            self.projection = _map_points(project(vectors, metric=settings.metric), "UMAP")  # type: ignore[arg-type]
            return
        first = principal_axes(vectors, settings.metric)
        self.projection = _map_points(first, "principal axes · UMAP is being computed")

        def done(points: np.ndarray | None) -> None:
            if _vectors_key(settings) != _vectors_key(self._tuning.settings):
                return  # the settings have changed since: another map is on its way
            if points is None:
                self.projection = _map_points(first, "principal axes")
            else:
                self.projection = _map_points(points, "UMAP")

        self._thread = umap_later(vectors, settings.metric, done)

    def _state(self) -> dict[str, Any]:
        if self._thread is not None:
            self._thread.join()  # a written file has the final map
        return super()._state()

    def _state_at(
        self,
        eps: float | None,
        records: Sequence[dict[str, Any]],
        edits: Mapping[int, int] | None = None,
    ) -> dict[str, Any]:
        if eps is None:
            return _state(np.full(len(self._segments), -1), 0, None, records, edits)
        labels = self._tuning.at(eps)
        if self.fill:
            labels = self._tuning.filled(labels)
        step = self._tuning.step(eps)
        return {**_state(labels, step, float(eps), records, edits), "fill": self.fill}

    def _prefixes(self) -> dict[str, str]:
        """What makes vectors that the segments do not come with: Python by the vectors' name."""
        made = {name: _embedding_code(embedder) for name, embedder in self._embedders.items()}
        return made if self._poolable is None else {**made, self._poolable: _POOLED}

    def _still(self) -> np.ndarray:
        return overlay(self.segments, self._pixels, scale=still_scale(self._pixels))

    def _height(self) -> int:
        height, width = self._pixels.shape[:2]
        return 610 + int(min(560, 530 * height / width))

    def __repr__(self) -> str:
        return f"Explorer({self.segments!r}, eps={self.eps})"


@checked_arguments
def explore(
    segments: Segments,
    image: ImageLike,
    *,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    method: Method = "auto",
    embedding: str | None = None,
    features: PatchFeatures | None = None,
    points: np.ndarray | None = None,
    embedders: Sequence[Embedder] = (ColourTexture(),),
    masks: Segments | None = None,
) -> Explorer:
    """Find the classes of a picture by hand: the picture, the map and the eps slider in one widget.

    Selecting in one selects in all. Classes are named, merged, split and hidden in the table: Split
    clusters a class on its own with a smaller eps, New class takes out what is selected. Everything
    can be undone. `explorer.segments` is the labelled result, at any time.

    Args:
        segments: N segments of this picture, with vectors. Where they have classes already and eps
            is "auto", the explorer begins with those: at the radius that gives them, if one does;
            else eps reads "none".
        image: The picture.
        eps: The radius to begin with; `"auto"`, or with the segments' own classes. NaN, which a
            clustering without a radius has, is the same as `"auto"`.
        min_samples: As in `samlab.cluster`.
        metric: As in `samlab.cluster`.
        method: What the slider moves: for `"dbscan"` the radius; for `"hdbscan"` the distance below
            which classes are not split further; for `"ward"` the height at which the tree of
            regions is cut. `"auto"`: Ward for the regions of `samlab.partition`, unless eps,
            min_samples or classes are given that only DBSCAN has; else DBSCAN, as for all others.
        embedding: Name of the vectors to begin with; the first ones by default.
        features: The encoded picture; with it the pooling can be changed in the widget.
        points: Coordinates on the map, (N, 2); UMAP of the vectors by default.
        embedders: Further vectors to choose from, computed when chosen; by default colour and
            texture, which show what SAM's features add.
        masks: The masks that these segments stand for (what `samlab.partition` was given): a switch
            shows their outlines.

    Returns:
        The widget; last in a cell it shows itself. `.write_html(path)` makes a file of it that
        works without kernel and network; `.code()` and `.parameters()` give the settings.

    Example:
        >>> from samlab import Segments, masks
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))], embeddings={"sam": [[1, 0]]})
        >>> explore(one, np.zeros((4, 4), np.uint8)).labels.tolist()
        [-1]
    """
    if not isinstance(eps, str) and np.isnan(eps):
        eps = "auto"
    name = embedding or next(iter(segments.embeddings), "" if features is None else "sam")
    known = {*segments.embeddings, *(embedder.name for embedder in embedders)}
    if len(segments) and name not in known and features is None:
        segments.embedding(embedding)  # raises, and says what there is
    needed = auto_min_samples(len(segments)) if min_samples == "auto" else min_samples
    tuned = method if method in ("hdbscan", "ward") else "dbscan"
    untouched = eps == "auto" and min_samples == "auto"
    settings = Settings(name, "coverage", tuned, metric, needed).changed({})
    otherwise = None
    if method == "auto" and untouched and TOGETHER in segments.scores and len(segments):
        settings, otherwise = settings.changed({"method": "ward"}), settings
    return Explorer(
        segments, image, settings, eps=eps, features=features, points=points,
        embedders=embedders, masks=masks, otherwise=otherwise,
    )  # fmt: skip


def _state(
    base: np.ndarray,
    step: int,
    value: float | None,
    records: Sequence[dict[str, Any]],
    edits: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """The state trait; its keys are in the order of `packed` in packing.js."""
    pins = dict(sorted((edits or {}).items()))
    labels = with_pins(base, pins)
    names = {}
    for record in records:
        now = set(np.flatnonzero(labels == record["label"]).tolist())
        then = set(record["members"])
        # The rule of `namesFor` in labels.js.
        if now and 2 * len(now & then) >= min(len(now), len(then)):
            names[str(record["label"])] = record["name"]
    return {
        "labels": labels.tolist(), "step": step, "value": value, "records": list(records),
        "hidden": [], "base": np.asarray(base).tolist(),
        "pins": [[i, label] for i, label in pins.items()], "fill": False, "names": names,
    }  # fmt: skip


def _counts(given: Segments, segments: Segments) -> list[str]:
    """Run lengths of masks that lie on the same picture as the segments."""
    if len(given) and len(segments) and given.image_size != segments.image_size:
        raise InputError(
            f"Expected masks of the same picture as the segments, {segments.image_size} (H, W); "
            f"got masks of {given.image_size}."
        )
    return [str(compress(rle)["counts"]) for rle in given.rles]


def _embedding_code(embedder: Embedder) -> str:
    # The caller's own is an "embedder", whatever it is.
    own = type(embedder) is ColourTexture
    made = "samlab.embedders.ColourTexture()" if own else "embedder"
    return f"segments = samlab.embed(image, segments, {made})\n"


def _vectors_key(settings: Settings) -> tuple[str, str, str]:
    """What the map depends on."""
    return settings.embedding, settings.pooling, settings.metric


def _map_points(points: np.ndarray, title: str) -> dict[str, Any]:
    return {"points": np.asarray(points, "<f4").tobytes(), "title": title}


def _filled(template: str, settings: dict[str, Any]) -> str:
    """Fill {name} fields by Python literals; a dict's repr would not survive the other braces."""
    for key, value in settings.items():
        text = f'"{value}"' if isinstance(value, str) else repr(value)
        template = template.replace("{" + key + "}", text)
    return template
