"""Fault matrix, annotation journal: no line makes the others unreadable, no act is lost unsaid."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from samlab import masks
from samlab.errors import InputError
from samlab.view.annotate.journal import NAME, Journal

RLE = masks.encode(np.eye(6, dtype=bool))
MASK = {"size": [6, 6], "counts": RLE["counts"], "label": 0}


def begun(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.do({"act": "classes", "names": ["cat"]})
    journal.do({"act": "add", "image": "a.png", "masks": [MASK]})
    return journal


@pytest.mark.parametrize(
    "line",
    [
        '{"act":"add","image":"a.png","masks":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"act":"add","image":"a.png","masks":[],"crc":Infinity}',
        '{"act":"add","image":"a.png","x":Infinity,"crc":1}',
        '{"act":"drop","image":"a.png","ids":[Infinity]}',
        '{"act":"set","image":"a.png","ids":[0],"label":NaN}',
        '{"act":"done","image":"a.png","size":[1e999,3]}',
        '{"act":"add","image":"a.png","masks":[{"size":[6,6],"counts":"1"}]}',
        '{"act":"add","image":"a.png","masks":[{"size":[6,6],"counts":"%s","point":[3]}]}',
        '{"act":"add","image":"a.png","masks":[{"size":[6,6],"counts":"%s","iou":"x"}]}',
        '{"act":"add","image":"a.png","masks":[{"size":[6,6],"counts":"%s","vector":"A"}]}',
        '{"act":"undo","after":' + "9" * 5000 + "}",
    ],
)
def test_one_impossible_line_leaves_the_others(line, tmp_path) -> None:
    begun(tmp_path)
    with (tmp_path / NAME).open("a") as file:
        file.write((line % RLE["counts"] if "%s" in line else line) + "\n")
    again = Journal(tmp_path)
    assert again.note
    assert len(again.annotations.segments("a.png")) == 1
    again.do({"act": "add", "image": "a.png", "masks": [MASK]})
    assert len(Journal(tmp_path).annotations.segments("a.png")) == 2


def test_of_two_annotators_at_one_moment_no_act_is_lost_unsaid(tmp_path) -> None:
    for turn in range(20):
        folder = tmp_path / str(turn)
        begun(folder)
        both = [Journal(folder), Journal(folder)]
        gate, kept, said = threading.Barrier(2), [], []

        def work(journal: Journal, gate=gate, kept=kept, said=said) -> None:
            gate.wait()
            for _ in range(5):
                try:
                    journal.do({"act": "add", "image": "a.png", "masks": [MASK]})
                except InputError as error:
                    said.append(str(error))
                else:
                    kept.append(1)

        threads = [threading.Thread(target=work, args=(journal,)) for journal in both]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(Journal(folder).annotations.masks("a.png")) == 1 + len(kept)
        assert len(kept) + len(said) == 10
        assert all("changed by another annotator" in text for text in said)
