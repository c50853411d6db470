"""The memory bank, measured: what a pass over many boxes costs, and how well classes are found.

    python benchmarks/boxes.py cost [--model vit_b]
    SAMLAB_EVAL_DATA=... python benchmarks/boxes.py camvid [--pictures 60] [--keep FOLDER]

`camvid` builds from the boxes of the train split of CamVid and tests on those of its val split
(masks by box prompts in both). Losses and epochs were chosen on folds of train, but a first look
at val had shown that heads were trained too short, so its figures are not quite blind. The data
are in `$SAMLAB_EVAL_DATA/camvid`; they are research data and not part of this project.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from samlab.bank.boxes import segment_with_boxes
from samlab.bank.examples import box_examples
from samlab.bank.head_training import train_head, train_prototypes
from samlab.bank.heads import Head
from samlab.bank.memory_bank import MemoryBank
from samlab.formats.coco import read_coco
from samlab.formats.labelled import LabelledImages
from samlab.images import read_image
from samlab.latent.embed.embedders import ColourTexture, embed
from samlab.latent.evaluation import Evaluation
from samlab.latent.vectors import unit
from samlab.sam.fast.encoder import encode
from samlab.sam.load import load_sam
from samlab.sam.provenance import weights_sha256
from samlab.segments import Segments

SEEDS = range(3)


# -- cost -----------------------------------------------------------------------------------------


def cost(model: str, boxes: int = 50, repeats: int = 3) -> None:
    """Encoder alone against encoder and all boxes, in one process, the better of several runs."""
    if model == "vit_b-random":
        from segment_anything import sam_model_registry

        torch.manual_seed(0)
        sam = sam_model_registry["vit_b"]().eval()
    else:
        sam = load_sam(model)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (768, 1024, 3), dtype=np.uint8)
    corner = rng.uniform(0, 600, (boxes, 2))
    frames = np.concatenate([corner, corner + rng.uniform(30, 160, (boxes, 2))], axis=1)
    segment_with_boxes(picture, frames[:2], sam)  # compile, allocate
    alone, whole = [], []
    for _ in range(repeats):
        start = time.process_time()
        embedding = encode(picture, sam)
        middle = time.process_time()
        segment_with_boxes(picture, frames, sam, features=embedding)
        alone.append(middle - start)
        whole.append(time.process_time() - start)
    print(
        f"{model}: encoder {min(alone):.2f} s, with {boxes} boxes {min(whole):.2f} s of CPU time: "
        f"{min(whole) / min(alone):.2f}x ({torch.get_num_threads()} threads, "
        f"better of {repeats})"
    )


# -- CamVid ---------------------------------------------------------------------------------------


def camvid(pictures: int | None, model: str, keep: Path | None) -> None:
    """The table: chance, colour, training-free, MLP, learned bank."""
    root = Path(os.environ["SAMLAB_EVAL_DATA"]) / "camvid"
    sam = load_sam(model)
    splits = {}
    for split in ("train", "val"):
        labelled = read_coco(root / split / "instances_coco.json", root / split / "images")
        step = max(1, len(labelled) // pictures) if pictures else 1
        chosen = labelled[::step][: pictures or len(labelled)]
        found = box_examples(chosen, sam, parts=True, resume=keep)
        splits[split] = with_colour(found, chosen), first_per_box(found, chosen)
    (train_all, train_main), (val_all, val_main) = splits["train"], splits["val"]
    print(f"weights {weights_sha256(sam)[:12]}, {len(set(train_all.image_ids))} train and "
          f"{len(set(val_all.image_ids))} val pictures, {train_main.sum()} and {val_main.sum()} "
          f"boxes, {len(train_all)} and {len(val_all)} masks with parts")  # fmt: skip
    table(train_all, train_main, val_all[val_main])
    parts_and_wholes(train_all, train_main, val_all)


def first_per_box(segments: Segments, labelled: LabelledImages) -> np.ndarray:
    """Boolean (N,): the one mask per box; each picture's come first, then the parts."""
    main = np.zeros(len(segments), bool)
    for image in labelled:
        ids = np.flatnonzero(segments.image_ids == image.name)
        main[ids[: len(image)]] = True
    return main


def with_colour(segments: Segments, labelled: LabelledImages) -> Segments:
    """Add the colour and texture baseline's vectors."""
    vectors = np.zeros((len(segments), 0), np.float32)
    for image in labelled:
        ids = np.flatnonzero(segments.image_ids == image.name)
        if len(ids):
            part = embed(read_image(image.path), segments[ids], ColourTexture())
            found = part.embedding(ColourTexture().name)
            if vectors.shape[1] == 0:
                vectors = np.zeros((len(segments), found.shape[1]), np.float32)
            vectors[ids] = found
    return segments.with_embedding("colour", vectors)


def table(train_all: Segments, main: np.ndarray, val: Segments) -> None:
    """One row per way to classify; trained ones over several seeds."""
    train = train_all[main]
    plain = MemoryBank.from_segments(train, embedding="sam")
    level = Head.standardising(train.embedding("sam"))
    standard = MemoryBank.from_segments(train, embedding="sam", head=level)
    few = MemoryBank.from_segments(train, embedding="sam", head=level, per_class=5)
    rows: dict[str, list[Evaluation]] = {
        "colour and texture, training-free": [
            MemoryBank.from_segments(train, embedding="colour").evaluate(val)
        ],
        "SAM vectors, training-free": [plain.evaluate(val)],
        "SAM vectors, training-free, softmax": [plain.evaluate(val, method="softmax")],
        "SAM vectors, standardised, training-free": [standard.evaluate(val)],
        "learned bank (SoftTriple prototypes)": [
            train_prototypes(few, train, seed=seed).evaluate(val) for seed in SEEDS
        ],
    }
    for loss in ("cosface", "arcface", "proxy_anchor", "triplet"):
        rows[f"MLP head, {loss}"] = [head_bank(train, train, loss, s).evaluate(val) for s in SEEDS]
    rows["MLP head, cosface, wholes and parts"] = [
        head_bank(train_all, train, "cosface", s).evaluate(val) for s in SEEDS
    ]
    rows["MLP head, cosface, and learned bank"] = [
        train_prototypes(head_bank(train, train, "cosface", s), train, seed=s).evaluate(val)
        for s in SEEDS
    ]
    shaped = [with_shape(part) for part in (train, val)]
    rows["SAM vectors and the box's shape and place, MLP head"] = [
        head_bank(shaped[0], shaped[0], "cosface", s).evaluate(shaped[1]) for s in SEEDS
    ]
    truth = rows["SAM vectors, training-free"][0].truth
    counts = np.bincount(truth)
    lines = [
        {"": "chance (uniform)", "accuracy": 1 / len(counts), "balanced_accuracy": 1 / len(counts)},
        {
            "": "always the commonest class of train",
            "accuracy": float(np.mean(truth == np.argmax(plain.examples))),
            "balanced_accuracy": 1 / len(counts),
        },
    ]
    for name, evaluations in rows.items():
        values = pd.DataFrame([e.summary() for e in evaluations]).drop(columns="segments")
        line = {"": name, **values.mean()}
        if len(values) > 1:
            line["sd of accuracy"] = values["accuracy"].std()
        lines.append(line)
    print(pd.DataFrame(lines).to_string(index=False, float_format="%.3f", na_rep=""))
    print(rows["MLP head, cosface"][0].per_class.to_string(index=False, float_format="%.2f"))
    print(rows["MLP head, cosface"][0].confusion_table().to_string())
    print(plain.suggest(val).to_string(index=False, float_format="%.2f"))


def with_shape(segments: Segments) -> Segments:
    """SAM's vectors with eight numbers about the mask added: size, proportions, place."""
    boxes, (height, width) = np.asarray(segments.boxes, np.float64), segments.image_size
    x0, y0, x1, y1 = boxes.T
    w, h = (x1 - x0) / width, (y1 - y0) / height
    area = segments.areas / (height * width)
    shape = np.stack(
        [np.log(w), np.log(h), np.log(w / h), np.log(area), area / (w * h),
         (x0 + x1) / 2 / width, y0 / height, y1 / height], axis=1,
    )  # fmt: skip
    joined = np.concatenate([unit(segments.embedding("sam")), 0.2 * shape], axis=1)
    return segments.with_embedding("sam", joined)


def head_bank(examples: Segments, bank_examples: Segments, loss: str, seed: int) -> MemoryBank:
    """A head trained on some examples, and a bank behind it."""
    head = train_head(examples, loss=loss, embedding="sam", seed=seed)  # type: ignore[arg-type]
    # Behind a head classes are compact; three prototypes did best in cross-validation on train.
    return MemoryBank.from_segments(bank_examples, embedding="sam", head=head, per_class=3)


def parts_and_wholes(train_all: Segments, main: np.ndarray, val_all: Segments) -> None:
    """Accuracy over all masks of the val boxes, alone and with the votes of surer wholes."""
    train = train_all[main]
    banks = {
        "training-free": MemoryBank.from_segments(train, embedding="sam"),
        "MLP head, cosface": head_bank(train, train, "cosface", 0),
    }
    for name, bank in banks.items():
        for votes in (False, True):
            accuracy = bank.evaluate(val_all, whole_votes=votes).accuracy
            print(f"{name}, all masks of the boxes, whole_votes={votes}: accuracy {accuracy:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("cost")
    one.add_argument("--model", default="vit_b-random", help="or a name for load_sam")
    two = commands.add_parser("camvid")
    two.add_argument("--pictures", type=int, help="of each split; all by default")
    two.add_argument("--model", default="tiny")
    two.add_argument("--keep", type=Path, help="folder for finished pictures")
    options = parser.parse_args()
    if options.command == "cost":
        cost(options.model)
    else:
        camvid(options.pictures, options.model, options.keep)
