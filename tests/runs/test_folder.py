"""samlab.run: many pictures, broken ones among them, resumed, with the real embedded model."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import samlab
from samlab.errors import ImageError, InputError
from samlab.pictures import read_picture
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.engine import collect
from samlab.runs.engine.progress import Progress, ProgressBar
from samlab.runs.folder import RunError, RunInterrupted
from samlab.runs.results import open_run
from samlab.segments import Segments
from tests.runs.light import check_folder, light, make_pictures, run_light, tables_of


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Three small pictures, two of one name, and a broken one."""
    import skimage.data

    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub").mkdir()
    Image.fromarray(skimage.data.coins()[:150, :200]).save(folder / "coins.png")
    Image.fromarray(skimage.data.coins()[100:250, 50:200]).save(folder / "sub" / "coins.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "notes.txt").write_text("no picture at all")
    return folder


@pytest.fixture(scope="module")
def tiny_run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    return samlab.run(photos, out, points_per_side=12, progress=False)


def test_run_gives_what_segment_gives(tiny_run, photos) -> None:
    alone = samlab.segment(photos / "sub" / "coins.png", points_per_side=12)
    found = tiny_run.segments("sub/coins.png")
    assert len(alone) > 3
    assert found.rles == alone.rles
    assert np.array_equal(found.embedding("sam"), alone.embedding("sam"))
    assert found.image_size == alone.image_size
    assert found.image_id == "sub/coins.png"
    assert found.provenance["weights_sha256"] == alone.provenance["weights_sha256"]
    assert found.provenance["pooling"] == alone.provenance["pooling"]


def test_a_broken_picture_is_a_row_and_the_rest_goes_on(tiny_run) -> None:
    assert tiny_run.pictures["image_id"].tolist() == ["broken.jpg", "coins.png", "sub/coins.png"]
    assert tiny_run.pictures["status"].tolist() == ["error", "ok", "ok"]
    row = tiny_run.errors.iloc[0]
    assert row["error_type"] == "ImageError"
    assert "is not a picture that samlab reads" in row["error"]


def test_other_settings_are_refused(tiny_run, photos) -> None:
    with pytest.raises(InputError, match=r"masks\.points_per_side was 12 and is now 13\. Use the"):
        samlab.run(photos, tiny_run.folder, points_per_side=13, progress=False)


def test_vectors_classes_and_tables(photos, tmp_path) -> None:
    """A bank gives classes and their confidence; pandas reads the files as they are."""
    first = samlab.run(
        photos, tmp_path / "a", points_per_side=6, embed=("sam", "colour_texture"), progress=False
    )
    segments = first.segments("coins.png")
    assert set(segments.embeddings) == {"sam", "colour_texture"}
    labelled = segments.with_labels(np.arange(len(segments)) % 2, {0: "coin", 1: "paper"})
    bank = samlab.MemoryBank.from_segments(labelled, embedding="sam")
    bank.save(tmp_path / "bank.safetensors")
    second = samlab.run(
        photos,
        tmp_path / "b",
        points_per_side=6,
        classify=tmp_path / "bank.safetensors",
        progress=False,
    )
    expected = bank.classify(second.segments())
    table = pd.read_parquet(tmp_path / "b" / "segments")
    assert table["class_name"].tolist() == expected.names()
    assert np.allclose(table["confidence"], expected.confidence)
    assert second.segments("coins.png").class_name(0) == "coin"
    assert len(pd.read_parquet(tmp_path / "b" / "pictures")) == 3
    with pytest.raises(InputError, match=r"classify was {\"kind\".* and is now null"):
        samlab.run(photos, tmp_path / "b", points_per_side=6, progress=False)


def test_a_bank_of_other_vectors_is_refused_before_the_work(photos, tmp_path) -> None:
    bank = samlab.MemoryBank(
        np.eye(2), np.arange(2), ("car", "tree"), provenance={"weights_sha256": "0" * 64}
    )
    with pytest.raises(InputError, match="This bank was made with weights of SHA-256 000"):
        samlab.run(photos, tmp_path / "out", classify=bank, progress=False)
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_are_named(photos, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"options of MaskGenerator \(points_per_side,.*; got poi"):
        samlab.run(photos, out, point_per_side=5)
    with pytest.raises(InputError, match="Expected how='coverage' or how='any', got 'crop'"):
        samlab.run(photos, out, how="crop")
    with pytest.raises(InputError, match="Expected batch of at least 1, got 0"):
        samlab.run(photos, out, batch=0)
    with pytest.raises(InputError, match="a MemoryBank, the path of one, or an object .* got int"):
        samlab.run(photos, out, classify=5)
    with pytest.raises(InputError, match=r"no device with a cluster, got 'cpu'; RayEngine\(gpus"):
        samlab.run(photos, out, engine="ray", device="cpu")
    with pytest.raises(InputError, match="Expected embed to hold 'sam'"):
        samlab.run(photos, out, embed=(5,))
    assert not out.exists()


def test_a_finished_run_does_not_load_the_model(tiny_run, photos, monkeypatch) -> None:
    monkeypatch.setattr(SegmenterConfig, "build", lambda self: pytest.fail("loaded the model"))
    again = samlab.run(photos, tiny_run.folder, points_per_side=12, progress=False)
    assert tables_of(again) == tables_of(tiny_run)


# -- with a light model -------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_pictures(tmp_path / "pictures", 12, broken=2)


def test_ctrl_c_writes_what_is_done(pictures, tmp_path) -> None:
    seen = []

    def stopped(images):
        seen.append(len(images))
        if len(seen) == 6:
            raise KeyboardInterrupt
        return light(images)

    with pytest.raises(RunInterrupted) as caught:
        run_light(pictures, tmp_path / "out", segment=stopped)
    assert str(caught.value) == (
        f"Stopped by Ctrl-C. 6 pictures are done and written to '{tmp_path / 'out'}'; "
        "the same call goes on with the rest."
    )
    assert isinstance(caught.value, KeyboardInterrupt)
    assert len(open_run(tmp_path / "out")) == 6
    whole = run_light(pictures, tmp_path / "whole")
    assert tables_of(run_light(pictures, tmp_path / "out")) == tables_of(whole)


def ctrl_c_at(step: int, out: Path, pictures: Path) -> bool:
    """Run, with Ctrl-C before the given line of collect.py that runs; False: it ended earlier."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename != collect.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == step:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run_light(pictures, out, flush_pictures=2)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_ctrl_c_between_any_two_steps_loses_nothing_and_does_nothing_twice(tmp_path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 3, broken=1)
    whole = tables_of(run_light(pictures, tmp_path / "whole"))
    step = 1
    while ctrl_c_at(step, tmp_path / f"{step}", pictures):
        check_folder(tmp_path / f"{step}")
        assert tables_of(run_light(pictures, tmp_path / f"{step}")) == whole
        step += 1
    assert step > 50


def started_and_then_stopped(by: signal.Signals, run: str, folder: Path) -> tuple[int, str]:
    """Send a signal in the middle of 200 pictures; the exit code and what was said as errors.

    Args:
        by: The signal.
        run: Code that has `samlab.run` run the pictures into `out`.
        folder: Where "pictures" are made and "out" is written.
    """
    make_pictures(folder / "pictures", 200)
    code = f"""
import signal, sys, time
from dataclasses import replace
from samlab.runs import folder
from tests.runs.light import LightConfig, light
# Jobs in the background of a shell, as in CI, are started deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
done = 0
def slow(images):
    global done
    print(done, flush=True)
    time.sleep(0.02 if done < 18 else 600)  # however late the signal comes, there is more to do
    done += len(images)
    return light(images)
class Slow(LightConfig):
    def build(self):
        return replace(super().build(), segment=slow)
folder.SegmenterConfig = Slow
pictures, out = sys.argv[1:]
{run}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "pictures"), str(folder / "out")],
        cwd=Path(__file__).parents[2], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while int(process.stdout.readline()) < 5:
            pass
        process.send_signal(by)
        errors = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    done = len(open_run(folder / "out"))
    assert 5 <= done <= 20
    assert f"Stopped by Ctrl-C. {done} pictures are done and written to" in errors
    assert not list((folder / "out").rglob("*.tmp"))
    whole = run_light(folder / "pictures", folder / "whole")
    assert tables_of(run_light(folder / "pictures", folder / "out")) == tables_of(whole)
    return process.returncode, errors


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_real_ctrl_c_ends_a_real_process_cleanly(tmp_path) -> None:
    code, errors = started_and_then_stopped(signal.SIGINT, "folder.run(pictures, out)", tmp_path)
    assert code != 0
    assert "RunInterrupted: Stopped by Ctrl-C." in errors


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_ends_the_command_as_ctrl_c_does(tmp_path, by) -> None:
    """Batch systems send it some time before they kill."""
    command = """
from samlab.cli.main import app
app(["run", pictures, "-o", out])
"""
    code, errors = started_and_then_stopped(by, command, tmp_path)
    assert code == 130
    assert "Traceback" not in errors


def test_a_resume_does_exactly_what_is_missing(pictures, tmp_path) -> None:
    seen = []

    def watched(images):
        seen.extend(image.tobytes() for image in images)
        return light(images)

    some = sorted(pictures.iterdir())[:5]
    run_light(pictures, tmp_path / "whole", segment=watched)
    assert len(seen) == len(set(seen)) == 10
    run_light({p.name: p for p in some}, tmp_path / "out", segment=watched)
    before = len(seen)
    run = run_light(pictures, tmp_path / "out", segment=watched)
    assert len(seen) - before == 6  # one of the two broken ones was among the first five
    assert len(set(seen)) == 10
    assert tables_of(run) == tables_of(open_run(tmp_path / "whole"))


def test_failed_pictures_are_left_alone_until_asked(pictures, tmp_path) -> None:
    out = tmp_path / "out"

    def stopped(images):
        raise RuntimeError("not today")

    model_fails = [pictures / "00001.png", pictures / "00002.png"]
    first = run_light({p.name: p for p in model_fails}, out, segment=stopped)
    assert first.errors["error"].tolist() == ["not today"] * 2
    assert len(run_light(pictures, out).errors) == 4
    again = run_light(pictures, out, retry_errors=True)
    assert again.errors["image_id"].tolist() == ["00000.png", "00011.png"]
    assert len(pd.read_parquet(out / "pictures")) == 12


def test_a_broken_picture_is_done_when_it_was_mended(pictures, tmp_path) -> None:
    out = tmp_path / "out"
    assert len(run_light(pictures, out).errors) == 2
    shutil.copy(pictures / "00001.png", pictures / "00000.png")
    again = run_light(pictures, out)
    assert again.errors["image_id"].tolist() == ["00011.png"]
    assert again.pictures["status"].tolist() == ["ok"] * 11 + ["error"]
    assert again.segments("00000.png").rles == again.segments("00001.png").rles
    assert len(pd.read_parquet(out / "pictures")) == 12


def test_a_changed_picture_is_done_again(pictures, tmp_path) -> None:
    out = tmp_path / "out"
    before = run_light(pictures, out)
    n = len(before.table())
    make_pictures(tmp_path / "other", 1, size=40)
    shutil.copy(tmp_path / "other" / "00000.png", pictures / "00005.png")
    after = run_light(pictures, out)
    assert after.pictures.set_index("image_id").loc["00005.png", "width"] == 40
    assert len(after) == 12
    assert len(pd.read_parquet(out / "pictures")) == 12
    change = len(after.segments("00005.png")) - int(before.pictures["n_segments"][5])
    assert len(pd.read_parquet(out / "segments")) == n + change


def test_one_picture_on_which_the_model_fails_costs_only_itself(pictures, tmp_path) -> None:
    bad = read_picture(str(pictures / "00004.png"))[0]

    def picky(images):
        if any(np.array_equal(image, bad) for image in images):
            raise RuntimeError("CUDA out of memory")
        return light(images)

    run = run_light(pictures, tmp_path / "out", segment=picky, batch=5)
    row = run.pictures.set_index("image_id").loc["00004.png"]
    assert (row["status"], row["error"]) == ("error", "CUDA out of memory")
    assert (row["error_type"], row["width"]) == ("RuntimeError", 24)
    assert len(run.errors) == 3
    with pytest.raises(InputError, match="'00004.png' has no segments: CUDA out of memory"):
        run.segments("00004.png")


def test_a_batch_that_does_not_fit_is_halved_from_then_on(pictures, tmp_path) -> None:
    sizes = []

    def small(images):
        sizes.append(len(images))
        if len(images) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return light(images)

    run = run_light(pictures, tmp_path / "out", segment=small, batch=8)
    assert sizes == [7, 3, 1, 2, 4, 2, 2, 2, 1]
    assert len(run.errors) == 2
    assert tables_of(run) == tables_of(run_light(pictures, tmp_path / "whole"))


def test_a_model_that_fails_on_everything_stops_the_run(tmp_path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 30)

    def works_at_first(images):
        if len(seen) == 5:
            raise RuntimeError("an illegal memory access was encountered")
        seen.append(1)
        return light(images)

    seen: list[int] = []
    with pytest.raises(RunError, match="failed on 20 pictures in a row.* RuntimeError: an illegal"):
        run_light(pictures, tmp_path / "out", segment=works_at_first)
    assert len(open_run(tmp_path / "out")) == 5
    assert len(run_light(pictures, tmp_path / "out").errors) == 0


def test_batches_and_order_do_not_change_the_result(pictures, tmp_path) -> None:
    one = run_light(pictures, tmp_path / "a")
    many = run_light(pictures, tmp_path / "b", batch=5, flush_pictures=3)
    assert tables_of(one) == tables_of(many)


def test_any_object_that_classifies(pictures, tmp_path) -> None:
    class Halves:
        def classify(self, segments):
            return np.arange(len(segments)) % 2

    run = run_light(pictures, tmp_path / "out", classify=Halves())
    table = run.to_pandas()
    assert (table["label"] == table["segment"] % 2).all()
    assert run.settings["classify"]["kind"] == "Halves"


# -- reading it ---------------------------------------------------------------------------------


def test_the_run_opens_as_one_table(pictures, tmp_path) -> None:
    run = run_light(pictures, tmp_path / "out", flush_pictures=5)
    table = run.table()
    assert len(run) == 12
    assert table.num_rows == run.n_segments == len(run.to_pandas()) == run.dataset.count_rows()
    assert [f"{i:05d}.png" for i in range(12)] == run.pictures["image_id"].tolist()
    assert run.to_pandas()["image_id"].is_monotonic_increasing
    alone = [run.segments(i) for i in run.pictures["image_id"][run.pictures["n_segments"] > 0]]
    assert [s.image_id for s in run] == [s.image_id for s in alone]
    assert Segments.concat(alone).rles == run.segments().rles
    assert np.array_equal(Segments.concat(alone).embedding(), run.segments().embedding())
    assert np.array_equal(run.image("00003.png"), read_picture(str(pictures / "00003.png"))[0])
    assert repr(run).startswith(f"Run('{tmp_path / 'out'}': 12 pictures, 2 with errors, ")
    assert "<table" in run._repr_html_()
    empty = run.pictures["image_id"][(run.pictures["n_segments"] == 0)].iloc[-2]
    assert run.segments(empty).embedding("sam").shape == (0, 8)
    with pytest.raises(InputError, match=r"no picture 'x' in the run .* first ones are '00000.png"):
        run.segments("x")


def test_pictures_that_moved_are_found_again(pictures, tmp_path) -> None:
    run = run_light(pictures, tmp_path / "out")
    pictures.rename(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match="does not exist"):
        run.image("00003.png")
    moved = open_run(tmp_path / "out", pictures=tmp_path / "elsewhere")
    assert moved.image("00003.png").shape == (24, 24, 3)


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb"])
def test_other_libraries_read_the_files_as_they_are(pictures, tmp_path, library) -> None:
    module = pytest.importorskip(library)
    run = run_light(pictures, tmp_path / "out", flush_pictures=5)
    pattern = str(tmp_path / "out" / "segments" / "*.parquet")
    if library == "duckdb":
        rows = module.sql(f"select sum(area), count(*) from '{pattern}'").fetchall()[0]
    elif library == "polars":
        frame = module.read_parquet(pattern)
        rows = frame["area"].sum(), len(frame)
    else:
        frame = module.concat([module.read_parquet(f) for f in run.files])
        rows = frame["area"].sum(), len(frame)
    assert tuple(map(int, rows)) == (int(run.segments().areas.sum()), run.n_segments)


# -- progress -----------------------------------------------------------------------------------


def test_progress_counts_and_estimates(pictures, tmp_path) -> None:
    states: list[Progress] = []
    run_light(pictures, tmp_path / "out", on_progress=states.append)
    assert [s.done for s in states] == list(range(1, 13))
    assert states[-1].errors == 2
    assert states[-1].total == 12
    assert states[-1].seconds_left == 0
    assert all(s.rate > 0 for s in states)


def test_a_log_gets_lines_not_a_bar(pictures, tmp_path, capfd) -> None:
    with ProgressBar(2, 0) as bar:
        bar.add(error=False)
        bar.add(error=True)
    text = capfd.readouterr().err
    assert "\r" not in text
    assert "2/2" in text.splitlines()[-1]
    assert "1 errors" in text.splitlines()[-1]
