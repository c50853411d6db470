"""The `samlab` command: segment, report, doctor, models.

Nothing heavy is imported before a command needs it, so that `samlab --help` answers at once.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import samlab
from samlab.cli.bank import app as bank_app
from samlab.cli.export import export as export_command
from samlab.cli.options import JsonOption, ModelOption, OpenOption, QuietOption, hush, tell
from samlab.cli.run import cache_app, run_command
from samlab.errors import InputError, SamlabError, counted, percent
from samlab.files import atomic_file, make_folder
from samlab.process.threads import computing_environment

if TYPE_CHECKING:
    from samlab.segments import Segments


class _Group(TyperGroup):
    """Turns samlab's own errors into one sentence on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SamlabError as error:
            typer.echo(f"samlab: {error}", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno is None or isinstance(error, BrokenPipeError):  # `samlab ... | head`
                raise
            where = "" if error.filename is None else f"'{error.filename}': "
            said = f"{where}{error.strerror or error}".rstrip(".")
            typer.echo(f"samlab: {said}. Check the path, its permissions and the room.", err=True)
            raise typer.Exit(1) from None


class _WithPairs(TyperCommand):
    """Takes `-p NAME VALUE`, as papermill does, besides `-p NAME=VALUE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined: list[str] = []
        rest = iter(args)
        for word in rest:
            joined.append(word)
            if word in ("-p", "--parameter"):
                name = next(rest, "")
                value = None if "=" in name else next(rest, None)
                joined.append(name if value is None else f"{name}={value}")
        return super().parse_args(ctx, joined)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Pictures to segments to semantic classes, with Meta's Segment Anything Model.\n\n"
    "Start with: samlab report photo.jpg -o report.html",
)

PictureFile = Annotated[
    Path, typer.Argument(metavar="PICTURE", help="The picture: JPEG, PNG, TIFF, WebP, ...")
]


def _share(text: str) -> Any:
    return typer.Option(min=0, max=1, help=text)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"samlab {samlab.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that stand before a command."""
    # Before torch is imported, here and in the processes that commands start.
    os.environ.update(computing_environment())


@app.command(short_help="A picture to segments and classes, as Parquet and PNG.")
def segment(
    picture: PictureFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    sam: ModelOption = "tiny",
    eps: Annotated[str, typer.Option(help="DBSCAN's radius, or auto.")] = "auto",
    min_samples: Annotated[str, typer.Option(help="DBSCAN's min_samples, or auto.")] = "auto",
    points_per_side: Annotated[int, typer.Option(min=1, help="Grid of prompts.")] = 32,
    pred_iou_thresh: Annotated[
        float | None, _share("Masks the model rates lower are dropped; 0.88 for SAM.")
    ] = None,
    stability_score_thresh: Annotated[float, _share("Less stable masks are dropped.")] = 0.95,
    all_masks: Annotated[
        bool, typer.Option("--all-masks", help="Keep SAM's masks as they are, overlapping.")
    ] = False,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Segment only what this names; may be given several times."),
    ] = None,
    text_model: Annotated[
        str, typer.Option(help="For --text: CLIP or SigLIP on the hub, a folder, or sam3.")
    ] = "openai/clip-vit-base-patch32",
    example: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X0,Y0,X1,Y1", help="For sam3: a box around an example; several times."
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Segment everything in a picture, group the segments into classes, write what was found.

    SAM's masks overlap; the disjoint regions that stand for them (samlab.partition) are kept.
    With --text the classes are the texts, and only what they name is kept.

    Writes into the folder: NAME.parquet (masks, boxes, scores, vectors, classes; read it with
    samlab.Segments.from_parquet, pandas or DuckDB), NAME_segments.png and NAME_classes.png.

    Example: samlab segment photo.jpg -o results --sam vit_b --eps 0.06
    Example: samlab segment street.jpg --text "yellow taxi" --text dog --text-model sam3
    Example: samlab segment street.jpg --text-model sam3 --example 40,60,180,140
    """
    hush(quiet or as_json)
    radius = _number_or_auto("eps", eps, float)
    neighbours = _number_or_auto("min_samples", min_samples, int)
    pixels = samlab.read_image(picture)
    options: dict[str, Any] = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
    }
    if text or example:
        boxes = [_box(one) for one in example] if example else None
        named: Segments = samlab.segment_text(
            picture, text or [], sam=sam, model=text_model, examples=boxes, **options
        )
        words = text or ["visual"]
        counts = [f"{(named.labels == i).sum()} {word}" for i, word in enumerate(words)]
        files = _write(named, pixels, out, picture.stem)
        facts = {"picture": str(picture), "segments": len(named), "files": list(map(str, files))}
        tell([", ".join(counts), *map(str, files)], facts, quiet, as_json)
        return
    segments: Segments = samlab.segment(picture, sam, **options)
    if not all_masks:
        segments = samlab.partition(segments)
    clustering = samlab.cluster(segments, eps=radius, min_samples=neighbours)
    segments = segments.with_labels(clustering.labels)
    files = _write(segments, pixels, out, picture.stem)
    from samlab.view.tables import unassigned_share

    left = unassigned_share(segments)
    used = None if math.isnan(clustering.eps) else clustering.eps
    how = clustering.reason if used is None else f"eps {used:.3g}"
    said = (
        f"{counted(len(segments), 'segment')}, {counted(clustering.n_clusters, 'class')}, "
        f"{percent(left)} of the picture unassigned ({how})"
    )
    facts = {
        "picture": str(picture), "segments": len(segments), "classes": clustering.n_clusters,
        "unassigned": left, "eps": used, "files": [str(file) for file in files],
    }  # fmt: skip
    tell([said, *map(str, files)], facts, quiet, as_json)


@app.command(cls=_WithPairs, short_help="Pictures to HTML reports, with an index for a folder.")
def report(
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="PICTURE|FOLDER...", help="A picture, several, or a folder."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML file (report.html), or for several pictures the folder (reports).",
        ),
    ] = None,
    sam: Annotated[
        str | None,
        typer.Option("--sam", help="The model, as in samlab models: short for -p sam NAME."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME VALUE", help="A parameter; may be repeated."
        ),
    ] = None,
    notebook: Annotated[
        Path | None, typer.Option(help="Another notebook with a 'parameters' cell.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Reports made at once, for a folder.")
    ] = 1,
    open_it: OpenOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the report notebook on pictures and write HTML files that need no network.

    For a folder, out/index.html shows all reports with thumbnails and counts; a picture that fails
    is listed there with its message, and the rest goes on.

    The parameters are those of the notebook's first cell: sam, eps, min_samples, points_per_side
    and others; a wrong name lists them all. If a run fails, an earlier report stays as it was, the
    notebook up to the failing cell is left beside it as NAME.failed.ipynb, and the exit code is 1.

    Example: samlab report photo.jpg -o report.html --sam vit_b -p eps 0.06 --open

    Example: samlab report photos -o reports --jobs 2
    """
    hush(quiet or as_json)
    parameters = _parameters(parameter or [])
    if sam is not None and parameters.setdefault("sam", sam) != sam:
        raise InputError(f"Expected one model, got --sam {sam} and -p sam {parameters['sam']}.")
    shown = not (quiet or as_json)
    if len(pictures) > 1 or pictures[0].is_dir():
        page, facts, failed = _report_folder(
            pictures, out or Path("reports"), jobs, notebook, parameters, shown
        )
        said = f"{facts['made']} of {facts['pictures']} reports made: {page}"
    else:
        page, failed = _report_one(pictures[0], out, notebook, parameters, shown), False
        facts = {"picture": str(pictures[0]), "report": str(page), "bytes": page.stat().st_size}
        said = f"{page} ({facts['bytes'] / 1e6:.1f} MB). Open it in any browser."
    tell([said], facts, quiet, as_json)
    if open_it:
        typer.launch(page.absolute().as_uri())
    if failed:
        raise typer.Exit(1)


app.command("run", short_help="A folder of pictures to tables; goes on where it stopped.")(
    run_command
)
app.command("export", short_help="Segments to COCO, YOLO, label maps and more.")(export_command)


@app.command(short_help="What works on this machine, and what to do about the rest.")
def doctor(
    sam: ModelOption = "tiny",
    megapixels: Annotated[
        float, typer.Option(min=0, help="Size of your pictures, for the memory they need.")
    ] = 12.0,
) -> None:
    """Check Python, packages, GPU, precision, widgets, weights, cache, memory and disk.

    Says what to do about each problem. Exit code 1 if something that samlab needs does not work.

    Example: samlab doctor --sam vit_h --megapixels 24
    """
    from samlab.doctor import diagnose, format_findings

    findings = diagnose(sam, megapixels)
    typer.echo(format_findings(findings))
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command(short_help="Which models there are, and where their weights are.")
def models(
    verify: Annotated[bool, typer.Option(help="Hash every file found; seconds per GB.")] = False,
) -> None:
    """List the models that --sam takes, with the file of weights found for each.

    Files are looked for in SAMLAB_CHECKPOINTS, Kaggle's inputs, the cache and the Hugging Face
    cache; a missing one is downloaded when first used. Everything from sam2.1 on needs samlab[hf].

    Example: samlab models --verify
    """
    from samlab.sam.checkpoints import status

    said = {True: "verified", False: "NOT the official file", None: ""}
    for row in status(verify=verify):
        missing = "install samlab again" if row.name == "tiny" else "downloaded when first used"
        missing = "gated, accept the licence on the hub first" if row.gated else missing
        where = f"{row.path}  ({row.source})" if row.path else f"not here; {missing}"
        size = f"{row.size / 1e6:,.0f} MB"
        line = f"{row.name:<22} {size:>9}  {row.licence:<11}  {where}  {said[row.verified]}"
        typer.echo(line.rstrip())


app.add_typer(bank_app, name="bank", short_help="Classes from labelled boxes.")
app.add_typer(cache_app, name="cache", short_help="Segments kept to be looked up.")


def _box(text: str) -> list[float]:
    """ "40,60,180,140" as a box; what it must be is said by who takes it."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"Expected a box as X0,Y0,X1,Y1 in pixels, got {text!r}.") from None


# -- small things -------------------------------------------------------------------------------


def _report_one(
    picture: Path, out: Path | None, notebook: Path | None, parameters: dict[str, Any], shown: bool
) -> Path:
    from samlab.reports.notebook import write_report

    try:
        return write_report(
            picture, out or "report.html", notebook=notebook, progress=shown, **parameters
        )
    except KeyboardInterrupt:
        typer.echo("samlab: Stopped by Ctrl-C; no report was written.", err=True)
        raise typer.Exit(130) from None


def _report_folder(
    pictures: list[Path],
    out: Path,
    jobs: int,
    notebook: Path | None,
    parameters: dict[str, Any],
    shown: bool,
) -> tuple[Path, dict[str, Any], bool]:
    """The index, what is said of it, and whether a picture failed."""
    from samlab.reports.folder import write_reports
    from samlab.reports.index import PAGE

    try:
        entries = write_reports(
            pictures, out, jobs=jobs, notebook=notebook, progress=shown, **parameters
        )
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. What is done: {out / PAGE}", err=True)
        raise typer.Exit(130) from None
    failed = {entry.name: entry.error for entry in entries if not entry.ok}
    for name, error in failed.items():
        typer.echo(f"{name}: {error}", err=True)
    facts = {
        "index": str(out / PAGE), "pictures": len(entries), "made": len(entries) - len(failed),
        "failed": failed,
    }  # fmt: skip
    return out / PAGE, facts, bool(failed)


def _write(segments: Segments, pixels: Any, out: Path, stem: str) -> list[Path]:
    table = segments.to_parquet(make_folder(out) / f"{stem}.parquet")
    pictures = {
        out / f"{stem}_segments.png": samlab.plot.segments(segments, pixels),
        out / f"{stem}_classes.png": samlab.plot.classes(segments, pixels),
    }
    for path, figure in pictures.items():
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
    return [table, *pictures]


def _number_or_auto(name: str, text: str, kind: type) -> Any:
    if text == "auto":
        return text
    try:
        return kind(text)
    except ValueError:
        raise InputError(
            f"Expected {name} as a number or 'auto', got '{text}'. For example --eps 0.06."
        ) from None


def _parameters(pairs: list[str]) -> dict[str, Any]:
    """`["eps=0.06", "sam=vit_b"]` to typed values."""
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(
                f"Expected a parameter's name and value, got only '{pair}'. "
                "For example: -p eps 0.06"
            )
        parameters[name] = _typed(value)
    return parameters


def _typed(text: str) -> Any:
    """Numbers and true/false as such, everything else as text: what papermill's -p does."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


if __name__ == "__main__":
    sys.exit(app())
