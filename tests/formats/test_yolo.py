"""YOLO in: our own writer's files, what supervision reads from the same ones, and broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.formats.labelled import LabelledImage
from samlab.formats.registry import read_labels
from samlab.formats.yolo import read_yolo, write_yolo, yolo_classes
from samlab.segments import Segments
from tests.formats.shapes import RINGED, SIZE, blobs, segments_of, tables

pytest.importorskip("yaml", reason="PyYAML is not installed")

RELAXED = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = ["car", "tree"]


@pytest.fixture
def write(pictures: Path):
    """Write labels/a.txt, and classes.txt beside it."""

    def write(text: str) -> Path:
        folder = pictures.parent / "labels"
        folder.mkdir(exist_ok=True)
        (folder / "a.txt").write_text(text)
        (folder / "classes.txt").write_text("\n".join(NAMES))
        return folder

    return write


def first(labels: Path, pictures: Path, **options) -> LabelledImage:
    found = read_yolo(labels, pictures, **options)[0]
    assert isinstance(found, LabelledImage)
    return found


# -- round trips --------------------------------------------------------------------------------


@RELAXED
@given(mask=blobs())
def test_solid_masks_come_back_as_they_were(mask, pictures: Path, tmp_path: Path) -> None:
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    solid = [ndimage.binary_fill_holes(parts == i) for i in range(1, min(count, 5) + 1)]
    segments = segments_of(solid, [i % 3 for i in range(len(solid))])
    out = write_yolo(segments, tmp_path / "out", images=pictures, overwrite=True).path
    back = first(out / "data.yaml", out / "images" / "train")
    assert back.image_size == SIZE
    assert list(back.masks) == list(segments.rles)
    np.testing.assert_array_equal(back.boxes, segments.boxes)
    names = [segments.class_name(i) for i in segments.labels.tolist()]
    assert list(back.class_names) == names


@RELAXED
@given(segments=tables())
def test_any_mask_comes_back_as_the_writer_said(
    segments: Segments, pictures: Path, tmp_path: Path
) -> None:
    report = write_yolo(
        segments, tmp_path / "out", images=pictures, overwrite=True, no_class="object"
    )
    back = first(report.path / "data.yaml", report.path / "images" / "train")
    assert len(back) == len(segments) == len(report.kept)
    for rle, own, kept in zip(back.masks, segments.rles, report.kept, strict=True):
        assert masks.iou([rle], [own])[0, 0] == pytest.approx(kept)


@RELAXED
@given(
    corners=st.lists(
        st.tuples(*[st.integers(0, n) for n in (40, 30, 40, 30)]), min_size=1, max_size=4
    )
)
def test_boxes_come_back(corners, pictures: Path, write) -> None:
    boxes = np.array([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners])
    lines = [
        f"1 {(x0 + x1) / 80:.9f} {(y0 + y1) / 60:.9f} {(x1 - x0) / 40:.9f} {(y1 - y0) / 30:.9f}"
        for x0, y0, x1, y1 in boxes.tolist()
    ]
    sound = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    labelled = read_yolo(write("\n".join(lines)), pictures)
    np.testing.assert_allclose(labelled.images[0].boxes, boxes[sound], atol=1e-5)
    assert labelled.report.left_out["object", "its box has zero size"] == (~sound).sum()
    assert labelled.report.changed == {}


def test_supervision_reads_the_same(pictures: Path, tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    segments = segments_of([ndimage.binary_fill_holes(RINGED), RINGED], [2, 0])
    out = write_yolo(segments, tmp_path / "out", images=pictures).path
    own = first(out / "data.yaml", out / "images")
    data = supervision.DetectionDataset.from_yolo(
        str(out / "images/train"), str(out / "labels/train"), str(out / "data.yaml"),
        force_masks=True,
    )  # fmt: skip
    ((_, _, found),) = list(data)
    assert [data.classes[i] for i in found.class_id] == list(own.class_names)
    for rle, mask in zip(own.masks, found.mask, strict=True):
        np.testing.assert_array_equal(masks.decode(rle), mask)


def test_supervision_reads_the_same_boxes(pictures: Path, write, tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    labels = write("0 0.5 0.5 0.25 0.2\n1 0.1 0.2 0.2 0.4\n")
    (tmp_path / "data.yaml").write_text("names: [car, tree]\n")
    (pictures / "sub" / "b.png").unlink()
    data = supervision.DetectionDataset.from_yolo(
        str(pictures), str(labels), str(tmp_path / "data.yaml")
    )
    ((_, _, found),) = list(data)
    np.testing.assert_allclose(first(labels, pictures).boxes, found.xyxy, atol=1e-4)


# -- where things lie ---------------------------------------------------------------------------


def test_sub_folders_splits_and_pictures_without_a_file(pictures: Path, tmp_path: Path) -> None:
    parts = [segments_of([RINGED], [1], name) for name in ("a.jpg", "sub/b.png")]
    out = write_yolo(parts, tmp_path / "out", images=pictures, val=0.5).path
    (out / "images" / "val" / "more.png").write_bytes((pictures / "sub" / "b.png").read_bytes())
    for images in (out, out / "images"):
        found = read_yolo(out / "data.yaml", images)
        assert (len(found), found.report.objects) == (3, 2)
        assert found.report.notes == ["1 picture has no text file, which means no object to YOLO."]
    assert len(read_yolo(out / "data.yaml", out / "images" / "train")) == 1
    mirrored = read_yolo(out / "labels", out / "images")  # finds data.yaml above
    assert mirrored.digest() == read_yolo(out / "data.yaml", out / "images").digest()
    assert read_labels(out / "data.yaml", out / "images").digest() == mirrored.digest()
    assert read_labels(out / "labels", out / "images").digest() == mirrored.digest()


def test_names_from_wherever_they_are(write, pictures: Path, tmp_path: Path) -> None:
    labels = write("1 0.5 0.5 0.2 0.2\n")
    assert first(labels, pictures).class_names == ("tree",)  # classes.txt, as labelImg writes it
    assert first(labels, pictures, classes=["a", "b"]).class_names == ("b",)
    assert first(labels, pictures, classes={1: "one"}).class_names == ("one",)
    file = tmp_path / "names.yml"
    file.write_text("path: /elsewhere\nnames:\n  0: x\n  1: y\n")
    assert first(labels, pictures, classes=file).class_names == ("y",)
    assert yolo_classes(file) == {0: "x", 1: "y"}
    (labels / "classes.txt").unlink()
    with pytest.raises(
        FormatError, match=r"in a data\.yaml or classes\.txt there or in the folders"
    ):
        read_yolo(labels, pictures)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nc: 3\n", "expected a list or a mapping of class names in the field 'names'"),
        ("names: 5\n", "expected a list or a mapping of class names"),
        ("- a\n- b\n", "expected a list or a mapping of class names"),
        ("names: [a\n", "is not YAML: while parsing"),
        ("names: {a: b}\n", "expected whole numbers as keys of 'names', got 'a'"),
        ("names: [a]\nkpt_shape: [17, 3]\n", "describes key points"),
        ("!!python/object/apply:os.getcwd []\n", "is not YAML: could not determine a constructor"),
    ],
)
def test_a_data_yaml_that_is_none(content: str, said: str, write, pictures, tmp_path) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(content)
    with pytest.raises(FormatError, match=said):
        read_yolo(write(""), pictures, classes=file)


# -- broken lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2 0.5 0.5 0.1 0.1", "there is no name for the class 2"),
        ("-1 0.5 0.5 0.1 0.1", "there is no name for the class -1"),
        ("0.5 0.5 0.5 0.1 0.1", "there is no name for the class 0.5"),
        ("car 0.5 0.5 0.1 0.1", "the line has something else than numbers"),
        ("0 0.5 0.5 0.1", "the line is neither a class and a box"),
        ("0 0.5 0.5 0.1 0.1 0.9", "the line is neither a class and a box"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "the line is neither a class and a box"),
        ("0", "the line is neither a class and a box"),
        ("0 20 15 10 10", "its numbers are not shares of the picture's size, 0 to 1"),
        ("0 nan 0.5 0.1 0.1", "its numbers are not shares of the picture's size, 0 to 1"),
        ("0 0.5 0.5 -0.5 0.1", "its numbers are not shares of the picture's size, 0 to 1"),
        ("0 0.5 0.5 0 0.1", "its box has zero size"),
    ],
)
def test_a_broken_line_is_left_out_and_counted(line: str, why: str, write, pictures) -> None:
    labels = read_yolo(write(f"0 0.5 0.5 0.5 0.5\n\n{line}\n"), pictures)
    assert labels.report.objects == 1
    (what, reason), n = labels.report.left_out.most_common(1)[0]
    assert (what, n) == ("object", 1)
    assert reason.startswith(why)
    assert labels.report.examples[what, reason] == ["line 3 of a.jpg"]


def test_what_sticks_out_a_little_is_clipped(write, pictures: Path) -> None:
    text = "0 0.95 0.5 0.2 0.2\n0 0 0 1.005 0 1.005 1.005 0 1.005\n"
    labels = read_yolo(write(text), pictures)
    np.testing.assert_allclose(labels.images[0].boxes, [[34, 12, 40, 18], [0, 0, 40, 30]])
    assert labels.images[0].masks[1] == masks.encode(np.ones(SIZE, bool))
    assert labels.report.changed == {"it stuck out of the picture and was clipped": 1}


def test_files_that_are_none(write, pictures: Path, tmp_path: Path) -> None:
    labels = write("")
    (labels / "sub").mkdir()
    (labels / "sub" / "b.txt").write_bytes(b"\xff\xfe\x00")
    (labels / "stranger.txt").write_text("0 0.5 0.5 0.1 0.1")
    found = read_yolo(labels, pictures)
    assert found.class_names == ("car", "tree")
    assert dict(found.report.left_out) == {
        ("picture", "its label file is not a readable text file"): 1,
        ("picture", "no picture of the same name"): 1,
    }
    with pytest.raises(FormatError, match="Expected a folder of YOLO's text files, found none at"):
        read_yolo(tmp_path / "no", pictures, classes=NAMES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="text files for the pictures in .* found none in"):
        read_yolo(tmp_path / "empty", pictures, classes=NAMES)
    with pytest.raises(InputError, match="every class name once, got car more than once"):
        read_yolo(labels, pictures, classes=["car", "car"])


def test_links_do_not_lead_out(write, pictures: Path, tmp_path: Path) -> None:
    labels = write("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "secret.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (labels / "sub").mkdir()
    (labels / "sub" / "b.txt").symlink_to(tmp_path / "secret.txt")
    (pictures / "linked.png").symlink_to(tmp_path / "secret.png")
    found = read_yolo(labels, pictures)
    assert [len(image) for image in found.images] == [1, 0]
    assert found.report.left_out["picture", "the file name leads out of the image folder"] == 1
