"""`samlab run` and `samlab cache`.

Nothing heavy is imported before a command needs it, so that `samlab --help` answers at once.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samlab.cli.options import JsonOption, ModelOption, QuietOption, tell
from samlab.errors import counted

if TYPE_CHECKING:
    from samlab.runs.results import Run

cache_app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Segments computed before, kept to be looked up: where, how many, how large.\n\n"
    "Example: samlab cache clear",
)

_SHOWN_ERRORS = 5


def run_command(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES...", help="A folder, a 'glob' in quotes, or pictures."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder or URL for the results.")] = "out",
    sam: ModelOption = "tiny",
    how: Annotated[str, typer.Option(help="Pooling of vectors: coverage or any.")] = "coverage",
    embed: Annotated[
        list[str] | None,
        typer.Option(help="sam, colour_texture, or a transformers model; may be repeated."),
    ] = None,
    classify: Annotated[
        Path | None, typer.Option(help="A bank from samlab bank build: gives classes.")
    ] = None,
    points_per_side: Annotated[int, typer.Option(min=1, help="Grid of prompts.")] = 32,
    pred_iou_thresh: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Masks the model rates lower are dropped; 0.88 for SAM."),
    ] = None,
    stability_score_thresh: Annotated[
        float, typer.Option(min=0, max=1, help="Less stable masks are dropped.")
    ] = 0.95,
    crop_n_layers: Annotated[int, typer.Option(min=0, help="Also look at crops.")] = 0,
    min_mask_region_area: Annotated[
        int, typer.Option(min=0, help="Remove islands and holes smaller than this, in pixels.")
    ] = 0,
    dtype: Annotated[
        str | None, typer.Option(help="auto for half precision where it is native.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="cuda:0, cpu, ...; repeated for a process on each. All GPUs by default."),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures encoded at once.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that read pictures.")] = None,
    cache: Annotated[bool, typer.Option(help="Look segments up in samlab's cache.")] = False,
    engine: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Do failed pictures again.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Segment a folder of pictures into Parquet tables; call it again to go on after a stop.

    Writes OUT/pictures/*.parquet (one row per picture, with its error where it failed) and
    OUT/segments/*.parquet (one row per segment: mask, box, scores, vectors, class). Read them with
    samlab.open_run, pandas, DuckDB or Polars. A picture is done again if its file has changed.
    Exit code 1 if every picture failed; 130 after Ctrl-C or SIGTERM, with all that was done kept.

    Example: samlab run photos -o results --sam vit_b --classify cars.safetensors
    """
    from samlab.runs.folder import run

    options: dict[str, Any] = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
        "crop_n_layers": crop_n_layers,
        "min_mask_region_area": min_mask_region_area,
        "dtype": dtype,
    }
    new: list[Any] = []  # one entry per picture that was done now
    # What batch systems send before they kill: end as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        done = run(
            pictures[0] if len(pictures) == 1 else pictures,
            out,
            sam=sam,
            how=how,  # type: ignore[arg-type]
            embed=embed or ("sam",),
            classify=classify,
            device=device[0] if device and len(device) == 1 else device,
            batch=batch,
            workers=workers,
            cache=cache,
            engine=engine,  # type: ignore[arg-type]
            retry_errors=retry_errors,
            progress=not (quiet or as_json),
            on_progress=new.append,
            **options,
        )
    except KeyboardInterrupt as stop:  # from collect.py, or before there was anything to collect
        said = str(stop) or "Stopped by Ctrl-C before the first picture."
        typer.echo(f"samlab: {said}", err=True)
        raise typer.Exit(130) from None
    failed = done.errors
    for _, row in failed.head(_SHOWN_ERRORS).iterrows():
        typer.echo(f"{row['image_id']}: {row['error']}", err=True)
    if len(failed) > _SHOWN_ERRORS:
        typer.echo(f"... and {len(failed) - _SHOWN_ERRORS:,} more errors", err=True)
    good = len(done) - len(failed)
    unchanged = len(done) - len(new)
    said = (
        f"{counted(good, 'picture')}, {counted(done.n_segments, 'segment')}, "
        f"{counted(len(failed), 'error')}"
    )
    if unchanged:
        said += f" ({unchanged:,} unchanged, {len(new):,} new)"
    facts = {
        "folder": str(done.folder), "pictures": good, "segments": done.n_segments,
        "errors": len(failed), "unchanged": unchanged, "new": len(new),
    }  # fmt: skip
    tell([said, str(done.folder), *_next(unchanged, len(new), len(failed))], facts, quiet, as_json)
    gone = _gone(pictures, done)
    if gone:
        typer.echo(
            f"{counted(gone, 'picture')} of these results {'is' if gone == 1 else 'are'} not among "
            "the pictures named now, and kept.",
            err=True,
        )
    if not good:
        raise typer.Exit(1)


def _next(unchanged: int, new: int, errors: int) -> list[str]:
    """What to do after a call that found everything done already."""
    if new or not unchanged:
        return []
    tries = ["Other settings need another folder: -o."]
    if errors:
        tries.insert(0, "--retry-errors does the failed ones again.")
    return [" ".join(["Everything was done already.", *tries])]


def _gone(pictures: list[str], done: Run) -> int:
    """Results of earlier calls for pictures that are not named, or not there, any more."""
    from samlab.pictures import list_pictures

    named = list_pictures(pictures[0] if len(pictures) == 1 else pictures)
    return len(set(done.pictures["image_id"]) - {picture.image_id for picture in named})


@cache_app.callback()
def show(context: typer.Context) -> None:
    """Say where the cache is and how large; SAMLAB_CACHE moves it.

    Example: samlab cache clear
    """
    if context.invoked_subcommand is not None:
        return
    from samlab.pipeline.cache import SegmentCache

    cache = SegmentCache()
    sizes = [entry.bytes for entry in cache.entries()]
    typer.echo(f"segments  {cache.folder}")
    typer.echo(
        f"          {counted(len(sizes), 'picture')}, {sum(sizes) / 1e6:,.1f} MB of at most "
        f"{cache.max_bytes / 1e6:,.0f} MB"
    )
    models = cache.folder.parent / "checkpoints"
    files = [path.stat().st_size for path in models.glob("*") if path.is_file()]
    typer.echo(f"models    {models}")
    typer.echo(
        f"          {counted(len(files), 'file')}, {sum(files) / 1e6:,.1f} MB (see samlab models)"
    )


@cache_app.command(short_help="Remove all kept segments.")
def clear() -> None:
    """Remove all kept segments; downloaded models stay.

    Example: samlab cache clear
    """
    from samlab.pipeline.cache import SegmentCache

    cache = SegmentCache()
    typer.echo(f"{cache.clear() / 1e6:,.1f} MB removed from {cache.folder}")
