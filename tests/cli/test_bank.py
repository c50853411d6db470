"""`samlab bank`: build, classify, evaluate, with the model's part replaced."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import samlab
import samlab.bank.examples as examples_module
import samlab.pipeline.segment
from samlab import masks
from samlab.bank.memory_bank import MemoryBank
from samlab.cli.bank import app
from samlab.datasets import write_sample_set
from samlab.errors import FormatError, InputError, StorageError
from samlab.segments import Segments
from tests.bank.spy import Spy


@pytest.fixture
def spy(monkeypatch):
    spy = Spy()
    monkeypatch.setattr(examples_module, "_examples_of", spy)
    return spy


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_sample_set(tmp_path_factory.mktemp("set"), 4)


def run(*words):
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)


def test_build_and_evaluate(files, spy, tmp_path):
    bank = tmp_path / "bank.safetensors"
    result = run("build", files.coco, files.images, "-o", bank, "--per-class", 2)
    assert result.exit_code == 0
    assert "4 pictures with" in result.output
    assert str(bank) in result.output
    assert len(spy.pictures) == 4
    loaded = MemoryBank.load(bank)
    assert loaded.to_pandas()["prototypes"].max() == 2
    again = run("build", files.bdd100k, files.images, "-o", bank, "--per-class", 1)
    assert again.exit_code == 0
    assert len(MemoryBank.load(bank)) == len(loaded.class_names)
    matrix = tmp_path / "confusion.csv"
    result = run("evaluate", bank, files.coco, files.images, "-o", matrix, "--max-error", 0.9)
    assert result.exit_code == 0
    assert "accuracy: " in result.output
    assert "unknown_below is now" in result.output
    assert MemoryBank.load(bank).unknown_below > -1
    assert matrix.read_text().startswith(",balloon,brick,grass,gravel,unknown")


def test_a_killed_build_goes_on(files, tmp_path, monkeypatch):
    bank = tmp_path / "bank.safetensors"
    first, second = Spy(stop_at=3), Spy()
    monkeypatch.setattr(examples_module, "_examples_of", first)
    with pytest.raises(KeyboardInterrupt):
        examples_of_build(files, bank)
    monkeypatch.setattr(examples_module, "_examples_of", second)
    assert run("build", files.coco, files.images, "-o", bank).exit_code == 0
    assert len(first.pictures) == 3
    assert len(second.pictures) == 1


def examples_of_build(files, bank):
    from samlab.formats.coco import read_coco

    examples_module.box_examples(
        read_coco(files.coco, files.images), "tiny", progress=False,
        resume=bank.with_name(bank.name + ".parts"),
    )  # fmt: skip


def test_label_maps_need_their_classes(files, spy, tmp_path):
    names = tmp_path / "classes.txt"
    names.write_text("balloon\nbrick\ngrass\ngravel\n")
    bank = tmp_path / "bank.safetensors"
    with pytest.raises(FormatError, match="Label maps need their class names"):
        run("build", files.label_maps, files.images, "-o", bank)
    assert (
        run("build", files.label_maps, files.images, "-o", bank, "--classes", names).exit_code == 0
    )
    assert bank.exists()


def test_classify_writes_segments_with_classes(files, spy, tmp_path, monkeypatch):
    bank = tmp_path / "bank.safetensors"
    run("build", files.coco, files.images, "-o", bank)
    picture = sorted(files.images.iterdir())[0]

    def segment(image, sam, *, how):
        assert how == "coverage"
        rles = masks.encode(np.ones((2, 240, 320), bool))
        return Segments(rles=rles, embeddings={"sam": np.array([[1, 1, 1], [9, 2, 1]])})

    monkeypatch.setattr(samlab.pipeline.segment, "segment", segment)
    result = run("classify", bank, picture, "-o", tmp_path / "out")
    assert result.exit_code == 0
    (file,) = (tmp_path / "out").iterdir()
    found = Segments.from_parquet(file)
    assert len(found) == 2
    assert set(found.class_names.values()) == {"unknown", "balloon", "brick", "grass", "gravel"}
    assert (found.labels >= 0).all()


def test_classify_goes_on_after_a_broken_picture(files, spy, tmp_path, monkeypatch):
    bank = tmp_path / "bank.safetensors"
    run("build", files.coco, files.images, "-o", bank)
    picture = sorted(files.images.iterdir())[0]
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")

    def segment(image, sam, *, how):
        samlab.read_image(image)
        return Segments(image_size=(240, 320))

    monkeypatch.setattr(samlab.pipeline.segment, "segment", segment)
    result = run("classify", bank, broken, picture, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "broken.jpg' is not a picture" in result.stderr
    assert [f.name for f in (tmp_path / "out").iterdir()] == [f"{picture.stem}_classified.parquet"]


def test_bad_places_and_names_are_told_before_the_work(files, spy, tmp_path):
    bank = tmp_path / "bank.safetensors"
    run("build", files.coco, files.images, "-o", bank)
    first, other = sorted(files.images.iterdir())[0], tmp_path / "other"
    other.mkdir()
    twin = other / first.name
    with pytest.raises(InputError, match="different names, got .* both would be written to"):
        run("classify", bank, first, twin, "-o", tmp_path / "out")
    with pytest.raises(InputError, match=r"For all pictures in it: samlab run .* --classify"):
        run("classify", bank, other, "-o", tmp_path / "out")
    with pytest.raises(StorageError, match="name of a folder, got the file .*bank.safetensors"):
        run("classify", bank, first, "-o", bank)
    made = len(spy.pictures)
    with pytest.raises(StorageError, match="name of a folder, got the file .*bank.safetensors"):
        run("evaluate", bank, files.coco, files.images, "-o", bank / "matrix.csv")
    assert len(spy.pictures) == made
    with pytest.raises(InputError, match="confusion matrix could not be written to"):
        run("evaluate", bank, files.coco, files.images, "-o", other)
    with pytest.raises(StorageError, match="Could not write .*Is a directory"):
        run("build", files.coco, files.images, "-o", other, "--resume", tmp_path / "parts")


def test_the_commands_are_part_of_samlab_and_show_an_example(tmp_path):
    from samlab.cli.main import app as samlab_app

    runner = CliRunner()
    for name in ("build", "classify", "evaluate"):
        shown = runner.invoke(samlab_app, ["bank", name, "--help"])
        assert shown.exit_code == 0
        assert f"Example: samlab bank {name}" in " ".join(shown.output.split())
    result = runner.invoke(samlab_app, ["bank", "classify", str(tmp_path / "none"), "x.jpg"])
    assert result.exit_code == 1
    assert "samlab: No memory bank at" in result.output


def test_yolo_labels_are_one_more_set(files, spy, tmp_path):
    """The same objects as in the COCO file."""
    from samlab.formats.coco import read_coco

    labelled, labels = read_coco(files.coco, files.images), tmp_path / "labels"
    labels.mkdir()
    (labels / "classes.txt").write_text("\n".join(labelled.class_names))
    for image in labelled:
        height, width = image.image_size
        lines = []
        for (x0, y0, x1, y1), name in zip(image.boxes.tolist(), image.class_names, strict=True):
            box = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height)
            box += ((x1 - x0) / width, (y1 - y0) / height)
            number = labelled.class_names.index(name)
            lines.append(" ".join([str(number), *(f"{v:.9f}" for v in box)]))
        (labels / image.path.with_suffix(".txt").name).write_text("\n".join(lines))
    banks = [tmp_path / "coco.safetensors", tmp_path / "yolo.safetensors"]
    for source, bank in zip((files.coco, labels), banks, strict=True):
        assert run("build", source, files.images, "-o", bank).exit_code == 0
    one, other = map(MemoryBank.load, banks)
    assert one.to_pandas().equals(other.to_pandas())
    loaded = MemoryBank.from_labels(labels, files.images, progress=False)
    np.testing.assert_array_equal(loaded.prototypes, other.prototypes)
