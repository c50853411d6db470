"""compare_models: its numbers are those of the masks it hands on."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

import samlab
from samlab.errors import InputError
from samlab.sam.load import load_sam

OPTIONS = {"points_per_side": 6, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}


@pytest.fixture(scope="module")
def images():
    coins = skimage.data.coins()
    return [np.ascontiguousarray(np.stack([coins[y : y + 90, :120]] * 3, 2)) for y in (20, 100)]


@pytest.fixture(scope="module")
def comparison(images, mini_sam):
    labels = [(image[..., 0] > 110).astype(int) for image in images]
    return samlab.compare_models(images, [load_sam("tiny"), mini_sam], labels=labels, **OPTIONS)


def test_counts_and_cover_are_those_of_the_masks(comparison, images):
    assert list(comparison.table.index) == ["tiny", "ImageEncoderViT"]
    for name, row in comparison.table.iterrows():
        found = comparison.segments[name]
        assert row["masks"] == np.mean([len(segments) for segments in found])
        dense = [np.array([s.mask(i) for i in range(len(s))]) for s in found]
        assert row["covered"] == pytest.approx(np.mean([m.any(0).mean() for m in dense]))
        shares = np.concatenate([m.mean((1, 2)) for m in dense])
        assert row["area"] == pytest.approx(np.median(shares))
        assert row["seconds"] > 0
        assert "sam" in found[0].embeddings
    assert comparison.table.loc["tiny", "knn_accuracy"] > 0.6
    assert comparison.table["memory_mb"].notna().all()


def test_agreement_is_the_share_of_masks_with_a_partner(comparison):
    np.testing.assert_array_equal(np.diag(comparison.agreement), 1)
    ours, theirs = (comparison.segments[name] for name in comparison.agreement.index)
    hits = []
    for mine, other in zip(ours, theirs, strict=True):
        a, b = (np.array([s.mask(i).ravel() for i in range(len(s))], float) for s in (mine, other))
        both = a @ b.T
        hits.extend((both / (a.sum(1)[:, None] + b.sum(1) - both)).max(1) >= 0.5)
    assert comparison.agreement.iloc[0, 1] == pytest.approx(np.mean(hits))
    assert 0 < np.mean(hits) < 1


def test_rows_of_overlays(comparison):
    figure = comparison.plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    masks = comparison.table["masks"]
    assert titles == [
        "picture", "", f"tiny, {masks.iloc[0]:.0f} masks", "",
        f"ImageEncoderViT, {masks.iloc[1]:.0f} masks", "",
    ]  # fmt: skip
    assert len(comparison.plot(pictures=1).axes) == 3


def test_a_folder_and_a_model_that_finds_nothing(images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    found = samlab.compare_models(tmp_path, ["tiny"], **{**OPTIONS, "pred_iou_thresh": 1.0})
    assert found.table.loc["tiny", ["masks", "covered"]].tolist() == [0, 0]
    assert np.isnan(found.agreement.iloc[0, 0])
    assert np.isnan(found.table.loc["tiny", "knn_accuracy"])
    assert len(found.plot().axes) == 2


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "Expected at least one picture and one model, got 1 and 0"),
        (["tiny", "tiny"], {}, "Expected each model once; tiny came twice"),
        (["tiny"], {"labels": []}, "Expected one map of labels per picture, 1; got 0"),
        (["tiny"], {"match_iou": 2.0}, "Expected match_iou of compare_models to be "),
        (["tiny"], {"points": 3}, "Expected options of MaskGenerator .*got points"),
    ],
)
def test_what_is_refused(images, models, options, message):
    with pytest.raises(InputError, match=message):
        samlab.compare_models(images[0], models, **{"points_per_side": 2, **options})


def test_segments_of_other_pictures_are_refused(comparison, images):
    with pytest.raises(InputError, match="Expected pictures and, of every model, segments of each"):
        samlab.plot.models(images[:1], comparison.segments)
