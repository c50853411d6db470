"""`samlab export`: segments and labels to the formats of other tools.

Nothing heavy is imported before the command runs, so that `samlab --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samlab.errors import InputError

if TYPE_CHECKING:
    from samlab.segments import Segments

_LABEL_FILES = {".json", ".xml", ".yaml", ".yml", ".txt"}


def export(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="The folder of a run, Parquet files of segments or a folder of them, SA-1B JSON, "
            "or labels (COCO, BDD100K, VOC, YOLO, label maps).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file or folder to write.")],
    format: Annotated[
        str,
        typer.Option(
            help="coco, yolo, label-maps, sa-1b, parquet, cutouts or inpainting; auto goes by the "
            "ending, .json or .parquet."
        ),
    ] = "auto",
    images: Annotated[
        Path | None,
        typer.Option(help="The folder of pictures: for labels, cut-outs, and YOLO with pictures."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="For label maps and YOLO: a text file with one class name per line."),
    ] = None,
    only_classes: Annotated[
        bool, typer.Option("--only-classes", help="Leave out segments without a class.")
    ] = False,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="COCO: polygons instead of run lengths.")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="COCO polygons and YOLO: simplify by so many pixels.")
    ] = 0.0,
    val: Annotated[
        float, typer.Option(min=0, max=0.99, help="YOLO: share of the pictures for validation.")
    ] = 0.0,
    soft: Annotated[float, typer.Option(min=0, help="Cut-outs: soft edge in pixels.")] = 0.0,
    grow: Annotated[float, typer.Option(min=0, help="Inpainting: grow by so many pixels.")] = 8.0,
    feather: Annotated[float, typer.Option(min=0, help="Inpainting: soft border in pixels.")] = 0.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there already.")
    ] = False,
) -> None:
    """Write segments as COCO, YOLO, label maps, SA-1B, Parquet, cut-outs or inpainting masks.

    Says what was left out, and how much of each mask a reader gets back. What is there already is
    left alone unless --overwrite is given.

    Example: samlab export out/photo.parquet -o photo.json

    Example: samlab export out -o run.json

    Example: samlab export labels.json --images photos -o data --format yolo --val 0.2
    """
    from samlab.formats.registry import export as write

    options: dict[str, Any] = {"overwrite": overwrite}
    kind = format
    if kind == "auto":
        kind = {".json": "coco", ".parquet": "parquet", ".pq": "parquet"}.get(out.suffix, format)
    if kind not in ("sa-1b", "inpainting"):
        options["no_class"] = None if only_classes or kind == "yolo" else "object"
    if kind == "coco" and polygons:
        options.update(masks="polygon", tolerance=tolerance)
    if kind == "yolo":
        options.update(tolerance=tolerance, val=val, images=images)
    if kind == "cutouts" and images is not None:
        options.update(images=images, soft=soft)
    if kind == "inpainting":
        options.update(grow=grow, feather=feather)
    segments = [one for source in sources for one in read_segments(source, images, classes)]
    typer.echo(str(write(segments, out, format, **options)))  # type: ignore[arg-type]


def read_segments(
    source: Path, images: Path | None = None, classes: Path | None = None
) -> list[Segments]:
    """Segments from a file or folder of any kind that samlab reads.

    Raises:
        InputError: It does not exist, or labels come without their pictures.
    """
    from samlab.formats.registry import read_labels
    from samlab.formats.sa1b import read_sa1b
    from samlab.segments import Segments

    if not source.exists():
        raise InputError(f"Expected a file or folder of segments, '{source}' does not exist.")
    if (source / "run.json").is_file():
        return _of_run(source)
    if source.is_dir() and (tables := sorted(source.glob("*.parquet"))):
        return [Segments.from_parquet(file) for file in tables]
    if source.suffix.lower() in (".parquet", ".pq"):
        return [Segments.from_parquet(source)]
    if source.suffix.lower() == ".json" and _is_sa1b(source):
        return [read_sa1b(source)]
    if source.is_file() and source.suffix.lower() not in _LABEL_FILES:
        raise InputError(
            "Expected the folder of a run, Parquet files of segments, SA-1B JSON, or labels, got "
            f"'{source}'. samlab segment and samlab run make segments of pictures."
        )
    if images is None:
        raise InputError(
            f"Expected '{source}' to hold labels, which belong to pictures: pass their folder with "
            "--images."
        )
    labelled = read_labels(source, images, classes=classes)
    typer.echo(str(labelled.report), err=True)
    return labelled.to_segments()


def _of_run(folder: Path) -> list[Segments]:
    """The segments of each picture of a run that did not fail, in the order of the run."""
    from samlab.runs.results import open_run

    run = open_run(folder)
    found = {segments.image_id: segments for segments in run}
    good = run.pictures.loc[run.pictures["status"] == "ok", "image_id"].tolist()
    return [found[name] if name in found else run.segments(name) for name in good]


def _is_sa1b(file: Path) -> bool:
    from samlab.formats.untrusted import load_json

    content = load_json(file, "COCO, BDD100K or SA-1B")
    return isinstance(content, dict) and isinstance(content.get("image"), dict)
