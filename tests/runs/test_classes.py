"""Classes and search across the pictures of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import samlab
from samlab import masks
from samlab.errors import InputError
from samlab.pictures import Picture
from samlab.runs.classes import cluster_run, plot_matches, run_vectors, search_run
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.store import RunStore
from samlab.segments import Segments
from samlab.view.plots.sheets import Strip, cut_square, plot_sheet
from tests.runs.light import commit

COLOURS = np.array([[200, 40, 40], [40, 160, 60], [50, 70, 210]], np.uint8)


def picture_of(number: int, kinds: list[int]) -> tuple[np.ndarray, Segments]:
    """A picture with a square for each kind, and vectors that tell the kinds apart."""
    rng = np.random.default_rng(number)
    pixels = np.full((40, 20 * max(len(kinds), 1), 3), 230, np.uint8)
    shapes = np.zeros((len(kinds), *pixels.shape[:2]), bool)
    for i, kind in enumerate(kinds):
        shapes[i, 10:30, 20 * i + 2 : 20 * i + 18] = True
        pixels[shapes[i]] = COLOURS[kind]
    vectors = np.eye(3, 8)[kinds] + 0.02 * rng.normal(size=(len(kinds), 8))
    return pixels, Segments(
        rles=masks.encode(shapes) if kinds else (), embeddings={"sam": vectors.astype(np.float32)},
        image_size=pixels.shape[:2],
    )  # fmt: skip


def make_run(folder: Path, order: list[int], at_once: int) -> samlab.runs.results.Run:
    """A run over 30 pictures, committed in this order, so many at a time; picture 7 is broken."""
    photos = folder.parent / "photos"
    photos.mkdir(exist_ok=True)
    with RunStore.open(folder, {"model": "none"}) as store:
        for start in range(0, len(order), at_once):
            outcomes = []
            for number in order[start : start + at_once]:
                path = photos / f"{number:02d}.png"
                picture = Picture(number, path.name, str(path))
                if number == 7:
                    outcomes.append(Outcome(picture, error="broken", error_type="ImageError"))
                    continue
                kinds = [(number + i) % 3 for i in range(number % 5)]
                pixels, segments = picture_of(number, kinds)
                Image.fromarray(pixels).save(path)
                outcomes.append(Outcome(picture, segments, image_size=pixels.shape[:2]))
            commit(store, outcomes)
    return samlab.open_run(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "out", list(range(30)), 30)


@pytest.fixture(scope="module")
def truth():
    return np.array([(n + i) % 3 for n in range(30) if n != 7 for i in range(n % 5)])


@pytest.mark.parametrize("sample", [20, 1000])
def test_classes_across_pictures_are_the_kinds(run, truth, sample):
    found = cluster_run(run, eps=0.05, min_samples=3, sample=sample)
    assert len(found.labels) == len(truth) == run.n_segments
    assert found.fit.n_clusters == 3
    pairs = set(zip(truth.tolist(), found.labels.tolist(), strict=True))
    assert len(pairs) == 3  # one class for each kind, nobody noise
    table = found.table
    assert table["segments"].sum() == len(truth)
    frame = found.to_pandas()
    pixels = (run.pictures["width"] * run.pictures["height"]).sum()
    assert table["area_share"].sum() == pytest.approx(frame["area"].sum() / pixels)
    assert (table["cohesion"] > 0.99).all()
    for label, row in table.iterrows():
        medoid = frame.iloc[row["medoid"]]
        assert medoid["label"] == label
        assert row["pictures"] == frame[frame["label"] == label]["image_id"].nunique()
    assert repr(found).startswith(f"RunClasses({len(truth)} segments, 3 classes, 0 % unassigned")


def test_the_result_is_the_same_however_the_run_was_interrupted(run, tmp_path):
    order = np.random.default_rng(1).permutation(30).tolist()
    other = make_run(tmp_path / "out", order, 4)
    assert len(other.shards) > 5
    kwargs = {"min_samples": 3, "sample": 25}
    first, second = cluster_run(run, **kwargs), cluster_run(other, **kwargs)
    np.testing.assert_array_equal(first.sample, second.sample)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.to_pandas()["image_id"].tolist() == second.to_pandas()["image_id"].tolist()


def test_vectors_come_in_the_order_of_the_table(run):
    rows, vectors = map(np.concatenate, zip(*run_vectors(run, "sam").read(), strict=True))
    whole = run.segments().embedding("sam")
    np.testing.assert_array_equal(vectors[np.argsort(rows)], whole)


def test_one_picture_is_explored_with_the_classes_of_all(run):
    found = cluster_run(run, eps=0.05, min_samples=3).with_names({1: "thing"})
    explorer = found.explore("04.png", points=np.zeros((4, 2)))
    own = found.to_pandas().query("image_id == '04.png'")
    assert explorer.labels.tolist() == own["label"].tolist()
    assert explorer.class_names == ({1: "thing"} if 1 in own["label"].tolist() else {})
    assert set(own["class_name"]) <= {"class 0", "thing", "class 2"}
    with pytest.raises(InputError, match=r"names of the classes \[0, 1, 2\], got one for 9"):
        found.with_names({9: "x"})


def test_classes_are_shown_by_cut_outs_of_their_colour(run):
    found = cluster_run(run, eps=0.05, min_samples=3)
    for label in range(3):
        rows = found.examples(label, 6)
        assert len(rows) == 6
        assert len(set(found.to_pandas().iloc[rows]["image_id"])) == 6
    figure = found.plot_table(columns=5)
    cells = [axes.images[0].get_array() for axes in figure.axes]
    assert len(cells) == 15
    seen = [tuple(cell[64, 64]) for cell in cells]
    for i in range(3):
        assert len(set(seen[5 * i : 5 * i + 5])) == 1
    assert {tuple(c) for c in COLOURS} == set(seen)


def test_search_finds_the_segment_itself_and_then_its_kind(run, truth):
    found = search_run(run, ("14.png", 2), 10)
    assert found.loc[0, ["image_id", "segment", "rank"]].tolist() == ["14.png", 2, 0]
    assert found.loc[0, "similarity"] == pytest.approx(1, abs=1e-6)
    assert len(set(truth[found["row"]])) == 1
    whole = samlab.similar(run.segments("14.png")[[2]], run.segments(), 10)
    assert found["row"].tolist() == whole["segment"].tolist()
    many = search_run(run, run.segments("14.png"), 3)
    assert many.groupby("query").size().tolist() == [3] * 4
    figure = plot_matches(run, many)
    assert len(figure.axes) == 12
    with pytest.raises(InputError, match="segment ids from 0 to 3"):
        search_run(run, ("14.png", 4))


def test_map_of_the_sample_and_of_all(run):
    found = cluster_run(run, eps=0.05, min_samples=3, sample=30)
    points, labels = found.project()
    assert points.shape == (30, 2)
    assert len(labels) == 30
    placed = found.project_all()
    assert placed.shape == (len(found.labels), 2)
    np.testing.assert_array_equal(placed[found.sample], points)
    assert np.isfinite(placed).all()


def test_labels_go_to_parquet(run, tmp_path):
    found = cluster_run(run, eps=0.05, min_samples=3).with_names({0: "<b>"})
    frame = pd.read_parquet(found.to_parquet(tmp_path / "labels.parquet"))
    assert list(frame) == ["image_id", "segment", "label", "class_name"]
    assert frame["label"].tolist() == found.labels.tolist()
    assert (frame["class_name"][frame["label"] == 0] == "<b>").all()


def test_nothing_goes_through_and_what_is_missing_is_said(run, tmp_path):
    with RunStore.open(tmp_path / "out", {}) as store:
        commit(store, [Outcome(Picture(0, "a.png", "a.png"), Segments(image_size=(4, 4)))])
    empty = cluster_run(samlab.open_run(tmp_path / "out"))
    assert empty.labels.shape == (0,)
    assert empty.table.empty
    assert empty.plot_table().axes == []
    assert search_run(samlab.open_run(tmp_path / "out"), np.ones(3)).empty
    with pytest.raises(InputError, match=r"the vectors 'clip'; it has 'sam'"):
        cluster_run(run, embedding="clip")


def test_a_picture_that_is_gone_leaves_a_grey_square(tmp_path):
    made = make_run(tmp_path / "out", list(range(6)), 6)
    (tmp_path / "photos" / "04.png").unlink()
    matches = search_run(made, ("04.png", 0), 1)
    (axes,) = plot_matches(made, matches).axes
    assert np.asarray(axes.images[0].get_array()).std() == 0


def test_cut_outs_at_edges_and_of_segments_wider_than_the_picture():
    pixels = np.full((10, 60, 3), 100, np.uint8)
    mask = np.zeros((2, 10, 60), bool)
    mask[0, :3, :3] = True
    mask[1] = True
    segments = Segments(rles=masks.encode(mask))
    small = cut_square(segments, 0, pixels, side=20)
    assert abs(int(small[2, 2, 0]) - 100) < 10
    assert [0, 114, 178] in small.reshape(-1, 3).tolist()
    assert small[-1, -1].min() > 150
    wide = cut_square(segments, 1, pixels, side=36)
    assert wide[0].min() == 255  # above the picture
    assert abs(int(wide[18, 18, 0]) - 100) < 10
    assert plot_sheet([Strip("a $b$", "", "", [small])]).axes
    assert plot_sheet([]).axes == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_thousand_mapped_vectors_take_little_memory(tmp_path):
    code = f"""
import numpy as np
from samlab.latent.cluster.sampled import cluster_across, nearest_across
def field(key):
    with open("/proc/self/status") as file:
        return next(int(l.split()[1]) for l in file if l.startswith(key)) / 1024
path = {str(tmp_path / "v.npy")!r}
rng = np.random.default_rng(0)
out = np.lib.format.open_memmap(path, "w+", np.float32, (100_000, 256))
centres = rng.normal(size=(20, 256))
for start in range(0, 100_000, 5000):
    out[start : start + 5000] = centres[rng.integers(0, 20, 5000)] + 0.1 * rng.normal(
        size=(5000, 256))
out.flush()
del out
mapped = np.load(path, mmap_mode="r")
cluster_across(mapped[:500])
before = field("RssAnon")
open("/proc/self/clear_refs", "w").write("5")
found = cluster_across(mapped)
nearest_across(mapped[:1], mapped, 10)
print(found.fit.n_clusters, field("VmHWM") - field("RssFile") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    classes, megabytes = done.stdout.split()
    assert int(classes) == 20
    assert float(megabytes) < 700
