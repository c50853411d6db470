"""`samlab bank build | classify | evaluate`: the memory bank without a notebook.

Nothing heavy is imported before a command needs it, so that `samlab --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samlab.cli.options import ModelOption
from samlab.errors import ImageError, InputError
from samlab.files import make_folder

if TYPE_CHECKING:
    from samlab.bank.memory_bank import MemoryBank
    from samlab.segments import Segments

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Classes from labelled boxes: build a memory bank, classify pictures, evaluate.",
)

Labels = Annotated[
    Path,
    typer.Argument(
        metavar="LABELS",
        help="COCO or BDD100K JSON, YOLO's data.yaml, or a folder of VOC XML, YOLO text or "
        "label-map PNGs.",
    ),
]
Images = Annotated[Path, typer.Argument(metavar="IMAGES", help="The folder of pictures.")]
BankFile = Annotated[Path, typer.Argument(metavar="BANK", help="A file from samlab bank build.")]
Format = Annotated[str, typer.Option(help="auto, coco, bdd100k, voc, yolo or label-maps.")]
Classes = Annotated[
    Path | None,
    typer.Option(help="For label maps and YOLO: a text file with one class name per line."),
]
Resume = Annotated[
    Path | None,
    typer.Option(help="Folder in which finished pictures are kept; a killed run goes on there."),
]
Threshold = Annotated[
    float | None, typer.Option(min=-1, max=1, help="Below this confidence the answer is unknown.")
]
MethodOption = Annotated[str, typer.Option(help="nearest, softmax or knn.")]
Whole = Annotated[
    bool, typer.Option(help="A part takes the class of a more certain whole around it.")
]


@app.command(short_help="Labelled boxes to a bank file.")
def build(
    labels: Labels,
    images: Images,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bank file.")] = Path(
        "bank.safetensors"
    ),
    format: Format = "auto",
    classes: Classes = None,
    sam: ModelOption = "tiny",
    per_class: Annotated[int, typer.Option(min=1, help="Prototypes per class.")] = 20,
    pooling: Annotated[str, typer.Option(help="coverage, any, crop or token.")] = "coverage",
    parts: Annotated[bool, typer.Option(help="Also take SAM's parts of each box.")] = False,
    background: Annotated[
        int, typer.Option(min=0, help="Segments per picture that touch no box, as background.")
    ] = 0,
    head: Annotated[
        str,
        typer.Option(
            help="Train a projection: proxy_anchor, arcface, cosface, triplet or soft_triple."
        ),
    ] = "none",
    seed: int = 0,
    resume: Resume = None,
) -> None:
    """Prompt SAM with every labelled box, pool vectors, and keep a few prototypes per class.

    Finished pictures are kept in OUT.parts (or --resume), so that a killed run goes on there, and
    another --per-class or --head needs no new pass. Delete the folder when you are done.

    Example: samlab bank build instances_train.json train2017 -o cars.safetensors --sam vit_b
    """
    from samlab.bank.examples import BACKGROUND
    from samlab.bank.memory_bank import MemoryBank

    examples = _examples(
        labels, images, format, classes, sam, resume or out.with_name(out.name + ".parts"),
        how=pooling, parts=parts, background=background,
    )  # fmt: skip
    options: dict[str, Any] = {"background": [BACKGROUND]} if background else {}
    if head != "none":
        from samlab.bank.head_training import train_head

        trained = train_head(examples, loss=head, seed=seed)  # type: ignore[arg-type]
        typer.echo(
            "Held-out balanced accuracy of the head: "
            f"{trained.about['held_out_balanced_accuracy']:.3f}"
        )
        options["head"] = trained
    bank = MemoryBank.from_segments(examples, per_class=per_class, seed=seed, **options)
    typer.echo(bank.to_pandas().to_string(index=False))
    for note in bank.notes:
        typer.echo(note)
    typer.echo(str(bank.save(out)))


@app.command(short_help="Pictures to classified segments.")
def classify(
    bank: BankFile,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="One or more pictures.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    sam: ModelOption = "tiny",
    method: MethodOption = "nearest",
    unknown_below: Threshold = None,
    whole_votes: Whole = False,
) -> None:
    """Segment pictures and give every segment a class of the bank.

    Writes NAME_classified.parquet for each picture; read it with samlab.Segments.from_parquet. A
    picture that cannot be read is named, the others are done, and the exit code is 1. For a folder:
    samlab run photos --classify cars.safetensors.

    Example: samlab bank classify cars.safetensors street.jpg -o results --sam vit_b
    """
    from samlab.pipeline.segment import segment
    from samlab.sam.load import load_sam

    loaded = _load(bank)
    _check_pictures(pictures, bank)
    make_folder(out)
    model = load_sam(sam)
    failed = 0
    for picture in pictures:
        try:
            segments = segment(picture, model, how=loaded.provenance.get("pooling", "coverage"))
        except ImageError as error:
            typer.echo(f"samlab: {error}", err=True)
            failed += 1
            continue
        answer = loaded.classify(
            segments, method=method, unknown_below=unknown_below,  # type: ignore[arg-type]
            whole_votes=whole_votes,
        )  # fmt: skip
        file = answer.to_segments().to_parquet(out / f"{picture.stem}_classified.parquet")
        counts = answer.to_pandas()["class_name"].value_counts()
        found = ", ".join(f"{n} {name}" for name, n in counts.items()) or "no segment"
        typer.echo(f"{picture.name}: {found}")
        typer.echo(str(file))
    if failed:
        raise typer.Exit(1)


@app.command(short_help="A bank against labelled boxes.")
def evaluate(
    bank: BankFile,
    labels: Labels,
    images: Images,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the confusion matrix as CSV.")
    ] = None,
    format: Format = "auto",
    classes: Classes = None,
    sam: ModelOption = "tiny",
    method: MethodOption = "nearest",
    unknown_below: Threshold = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Set the bank's unknown_below so that at most this share of answers errs, "
            "and save it.",
        ),
    ] = None,
    resume: Resume = None,
) -> None:
    """Classify the labelled boxes of other pictures; print the scores of every class.

    Example: samlab bank evaluate cars.safetensors instances_val.json val2017 --sam vit_b
    """
    loaded = _load(bank)
    if out is not None:
        make_folder(out.parent)
    examples = _examples(
        labels, images, format, classes, sam, resume,
        how=loaded.provenance.get("pooling", "coverage"),
    )  # fmt: skip
    if max_error is not None:
        loaded = loaded.calibrate(examples, max_error=max_error, method=method)
        loaded.save(bank)
        typer.echo(f"unknown_below is now {loaded.unknown_below:.4f}, for method {method}.")
    result = loaded.evaluate(examples, method=method, unknown_below=unknown_below)
    typer.echo(result.per_class.to_string(index=False, float_format="%.3f"))
    for name, value in result.summary().items():
        typer.echo(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    typer.echo(loaded.suggest(examples).to_string(index=False, float_format="%.2f"))
    if out is not None:
        try:
            result.confusion_table().to_csv(out)
        except OSError as error:
            raise InputError(
                f"The confusion matrix could not be written to '{out}': {error.strerror or error}."
            ) from error
        typer.echo(str(out))


def _check_pictures(pictures: list[Path], bank: Path) -> None:
    """Refuse folders, and two pictures whose results would have one name."""
    names: dict[str, Path] = {}
    for picture in pictures:
        if picture.is_dir():
            raise InputError(
                f"Expected pictures, got the folder '{picture}'. For all pictures in it: "
                f"samlab run {picture} --classify {bank}"
            )
        if names.setdefault(picture.stem, picture) != picture:
            raise InputError(
                f"Expected pictures of different names, got '{names[picture.stem]}' and "
                f"'{picture}': both would be written to {picture.stem}_classified.parquet. "
                "Classify them into different folders."
            )


def _load(path: Path) -> MemoryBank:
    from samlab.bank.memory_bank import MemoryBank

    return MemoryBank.load(path)


def _examples(
    labels: Path,
    images: Path,
    format: str,
    classes: Path | None,
    sam: str,
    resume: Path | None,
    **options: Any,
) -> Segments:
    """Read labels, say what was left out, and make the examples."""
    from samlab.bank.examples import box_examples, masks_for
    from samlab.formats.registry import read_labels

    labelled = read_labels(labels, images, format=format, classes=classes)  # type: ignore[arg-type]
    typer.echo(str(labelled.report), err=True)
    masks = masks_for(labels, format)  # type: ignore[arg-type]
    examples = box_examples(labelled, sam, masks=masks, resume=resume, **options)
    for note in examples.provenance["notes"]:
        typer.echo(note, err=True)
    return examples
