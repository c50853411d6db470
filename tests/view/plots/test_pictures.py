"""Pictures are compared by what they show: colours at known pixels, counts, and names."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from io import BytesIO
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import samlab
from samlab import Segments, masks, palette
from samlab.errors import InputError, SamlabError
from samlab.latent.cluster.results import Clustering, Sweep
from samlab.view import overlay, tables
from samlab.view.plots import interactive, plot_ladder
from samlab.view.plots import latent as latent_plots
from samlab.view.plots import pictures as plots
from samlab.view.plots.figure import NotebookFigure
from tests.view.colours import GROUNDS, HUE_ANGLE, all_classes, hue_difference
from tests.view.explorer.test_explorer import regions

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "<a href='javascript:alert(1)'>x</a>",
    "{{7*7}}",
    "%{customdata[0]}",
    "$\\frac{1}{0",
    "line\nbreak <b>",
    "&lt;i&gt;",
]


def box(h: int, w: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((h, w), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.fixture
def image() -> np.ndarray:
    return np.full((40, 60, 3), 128, np.uint8)


@pytest.fixture
def segments() -> Segments:
    """Left half (class 0), a square inside it (class 1), a square at the right (noise)."""
    shapes = [box(40, 60, 10, 20, 10, 20), box(40, 60, 0, 40, 0, 30), box(40, 60, 5, 15, 40, 50)]
    return Segments(
        rles=[masks.encode(m) for m in shapes],
        labels=np.array([1, 0, -1]),
        predicted_iou=np.array([0.9, 0.8, 0.7]),
        embeddings={"sam": np.eye(3, 8, dtype=np.float32)},
        image_id="demo.png",
    )


@pytest.fixture
def empty() -> Segments:
    return Segments(image_size=(40, 60), embeddings={"sam": np.zeros((0, 8))})


CLUSTERING = Clustering(
    k_distances=np.array([0.01, 0.02, 0.2]), eps=0.05, labels=np.array([1, 0, -1]),
    min_samples=2, silhouette=np.nan, reason="given",
)  # fmt: skip
NOTHING = Clustering(
    k_distances=np.zeros(0), eps=np.nan, labels=np.zeros(0, np.int64), min_samples=3,
    silhouette=np.nan, reason="there are no segments",
)  # fmt: skip
GRID = np.zeros((5, 64, 64), np.float32)
GRID[0, :22], GRID[1, 22:43], GRID[2, 43:] = 1, 2, 1e6  # three things, the last one in the padding
PATCHES = SimpleNamespace(
    grid=lambda: GRID, input_size=(683, 1024), image_size=(683, 1024), img_size=1024
)
SWEEP = Sweep(np.array([0.2, 0.01]), np.array([[0, 0, 0], [0, 1, -1]]), 2)


def drawn_text(figure: Figure) -> str:
    import matplotlib.text

    return "\n".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


def shown_pixels(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


# -- palette --------------------------------------------------------------------------------------


def test_the_first_twelve_classes_differ_for_colour_blind_readers():
    # Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
    protan = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
              [-0.003882, -0.048116, 1.051998]]  # fmt: skip
    deutan = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
              [-0.011820, 0.042940, 0.968881]]  # fmt: skip
    srgb = palette.class_colors(np.arange(12)) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    for vision in (np.eye(3), np.array(protan), np.array(deutan)):
        lab = oklab(np.clip(linear @ vision.T, 0, 1))
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
        assert distance[np.triu_indices(12, 1)].min() > 0.07


def oklab(linear: np.ndarray) -> np.ndarray:
    lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
           [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
           [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.cbrt(linear @ np.array(lms).T) @ np.array(lab).T


def test_seventy_two_classes_have_seventy_two_colours_and_none_is_noise():
    colors = {tuple(c) for c in palette.class_colors(np.arange(72)).tolist()}
    assert len(colors) == 72
    assert palette.NOISE not in colors
    assert tuple(palette.class_colors(np.array(-1))) == palette.NOISE
    again = {tuple(c) for c in palette.class_colors(np.arange(72)).tolist()}
    assert again == colors, "asking for the colour of no class leaves those of classes alone"


def test_segment_colours_round_trip_through_oklab():
    colors = palette.segment_colors(30) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    inside = (colors > 0.01).all(axis=1) & (colors < 0.99).all(axis=1)  # not clipped to the gamut
    assert inside.sum() > 10
    lightness = oklab(linear)[:, 0]
    expected = np.array([0.72, 0.60, 0.82])[np.arange(30) % 3]
    np.testing.assert_allclose(lightness[inside], expected[inside], atol=0.01)


# -- overlays -------------------------------------------------------------------------------------


def test_overlay_blends_class_colours_smallest_on_top(segments, image):
    out = overlay.overlay(segments, image, alpha=0.5, outline=False)
    for (x, y), label in {(5, 5): 0, (15, 15): 1}.items():
        expected = (128 + palette.class_colors(np.array(label)).astype(float)) / 2
        np.testing.assert_allclose(out[y, x], expected, atol=1)
    np.testing.assert_array_equal(out[30, 55], image[30, 55])  # no segment there
    grey = out[10, 45].astype(int)
    assert 128 < grey[0] < 139  # noise is painted, faintly, in grey
    assert len(set(grey)) == 1


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_class_has_the_hue_of_its_swatch_on_any_picture(ground):
    segments, picture, at = all_classes(GROUNDS[ground])
    out = overlay.overlay(segments, picture)
    found = out[at[:, 1], at[:, 0]]
    assert hue_difference(found, palette.class_colors(segments.labels)).max() <= HUE_ANGLE


def test_overlay_alpha_zero_without_outline_leaves_a_grey_picture_alone(segments, image):
    out = overlay.overlay(segments, image, alpha=0, outline=False)
    np.testing.assert_array_equal(out, image)


def test_outline_is_one_pixel_in_the_colour_of_the_class(segments, image):
    out = overlay.overlay(segments, image, alpha=0.5)
    np.testing.assert_array_equal(out[15, 10], palette.class_colors(np.array(1)))
    np.testing.assert_allclose(
        out[15, 11], (128 + palette.class_colors(np.array(1)).astype(float)) / 2, atol=1
    )


def test_a_class_map_has_outlines_of_classes_not_of_every_segment():
    halves = [box(8, 12, 0, 8, 0, 6), box(8, 12, 0, 8, 6, 12)]
    alike = Segments(rles=[masks.encode(m) for m in halves], labels=np.array([3, 3]))
    grey = np.full((8, 12, 3), 90, np.uint8)
    assert len(np.unique(overlay.overlay(alike, grey)[:, 4:8].reshape(-1, 3), axis=0)) == 1
    own = palette.class_colors(np.array(3))
    parted = overlay.overlay(alike, grey, outline="segment")
    np.testing.assert_array_equal(parted[:, 5:7], np.broadcast_to(own, (8, 2, 3)))
    two = alike.with_labels(np.array([3, 4]))
    np.testing.assert_array_equal(overlay.overlay(two, grey)[:, 5], np.broadcast_to(own, (8, 3)))
    by_segment = overlay.overlay(alike, grey, by="segment", alpha=0.1)
    assert (by_segment[:, 5].astype(int) - by_segment[:, 3]).any()
    with pytest.raises(InputError, match="outline='class', 'segment', True or False; got 'both'"):
        overlay.overlay(alike, grey, outline="both")


def test_a_ladder_shows_each_rung_once_with_its_figures():
    segments, picture = regions()
    rungs = samlab.ladder(segments)
    figure = plot_ladder(segments, picture, rungs)
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == len(rungs) >= 4
    for ax, rung in zip(shown, rungs, strict=True):
        chosen = ", chosen" if rung.chosen else ""
        assert ax.get_title("left") == f"{rung.n_clusters} classes{chosen}"
        assert ax.get_title("right") == f"0.0 % unassigned · eps {rung.eps:.3g}"
        colours = np.asarray(ax.images[0].get_array()).reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) >= rung.n_clusters
    assert "No ladder" in plot_ladder(segments, picture, []).axes[0].texts[0].get_text()


def test_scaled_index_map_keeps_order_areas_and_the_smallest_mask():
    dot = box(40, 60, 8, 9, 8, 9)
    parts = [box(40, 60, 0, 40, 0, 30), dot, box(40, 60, 4, 20, 4, 20)]
    segments = Segments(rles=[masks.encode(m) for m in parts])
    large = overlay.index_map(segments, 4.0)
    assert large.shape == (160, 240)
    assert large[30, 60] == 2
    assert large[34, 34] == 1
    assert large[100, 60] == 0
    assert large[100, 200] == -1
    assert abs((large == 2).sum() + (large == 1).sum() - 16 * 16 * 16) <= 0.02 * 16 * 16 * 16
    small = overlay.index_map(segments, 0.25)
    assert small.shape == (10, 15)
    assert (small == 1).sum() >= 1  # a single pixel survives shrinking


def test_wrong_picture_is_refused_by_name(segments):
    with pytest.raises(InputError, match=r"60 x 40 pixels; got one of 10 x 20"):
        overlay.overlay(segments, np.zeros((20, 10), np.uint8))
    with pytest.raises(InputError, match="by='class' or by='segment', got 'area'"):
        overlay.overlay(segments, np.zeros((40, 60), np.uint8), by="area")
    with pytest.raises(InputError, match=r"from 0 to 1, got 2"):
        overlay.overlay(segments, np.zeros((40, 60), np.uint8), alpha=2)


def test_class_cut_out_keeps_the_class_and_shadows_the_rest(segments, rng):
    photo = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    out = overlay.class_cut_out(segments, photo, 1)
    np.testing.assert_array_equal(out[12:18, 12:18], photo[12:18, 12:18])
    hole = overlay.class_cut_out(segments, photo, 0)  # class 1 lies on class 0
    np.testing.assert_array_equal(hole[25:35, 5:25], photo[25:35, 5:25])
    assert hole[12:18, 12:18].min() > 190
    outside = out[30:, 40:].astype(int)
    assert (outside[..., 0] == outside[..., 2]).all()
    assert outside.min() > 190


def test_heat_overlay_puts_bright_where_the_heat_is(image):
    heat = np.array([[0.0, 1.0], [0.0, np.nan]])
    out = overlay.heat_overlay(image, heat).astype(int)
    assert out[5, 55].sum() > out[5, 5].sum() + 100
    np.testing.assert_array_equal(out[38, 58], image[38, 58])
    with pytest.raises(InputError, match=r"heat map of shape \(h, w\), got \(4,\)"):
        overlay.heat_overlay(image, np.zeros(4))


def test_constant_and_empty_heat_are_fine(image):
    assert overlay.heat_overlay(image, np.ones((3, 3))).shape == image.shape
    assert overlay.heat_overlay(image, np.full((3, 3), np.nan)).shape == image.shape


# -- figures --------------------------------------------------------------------------------------


def all_figures(segments: Segments, image: np.ndarray, clustering: object) -> dict[str, Figure]:
    points = np.arange(2.0 * len(segments)).reshape(-1, 2)
    return {
        "segments": plots.plot_segments(segments, image),
        "classes": plots.plot_classes(segments, image),
        "panels": plots.plot_class_panels(segments, image),
        "k": latent_plots.plot_k_distances(clustering),
        "map": latent_plots.plot_projection(segments, points),
        "sweep": latent_plots.plot_sweep(SWEEP, eps=clustering.eps),
        "heat": plots.plot_heat_map(image, np.eye(8), query=segments[:1]),
        "embedding": latent_plots.plot_embedding(PATCHES, image),
    }


def test_every_figure_draws_and_changes_no_global_state(segments, image, empty):
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    before, open_figures = matplotlib.rcParams.copy(), plt.get_fignums()
    runs = [(segments, CLUSTERING), (empty, NOTHING), (Segments(image_size=(40, 60)), NOTHING)]
    for these, clustering in runs:
        figures = all_figures(these, image, clustering)
        figures["no sweep"] = latent_plots.plot_sweep(Sweep(np.zeros(0), np.zeros((0, 0), int), 3))
        for name, figure in figures.items():
            data, size = figure._rendered("png")
            assert len(data) > 1000, name
            assert size["width"] > 100, name
    assert matplotlib.rcParams == before
    assert plt.get_fignums() == open_figures


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 2)])
def test_extreme_pictures_draw(shape):
    segments = Segments(rles=[masks.encode(np.ones(shape, bool))], labels=np.array([0]))
    pixels = np.zeros(shape, np.uint8)
    for figure in (
        plots.plot_classes(segments, pixels),
        plots.plot_class_panels(segments, pixels),
        plots.plot_segments(segments, pixels),
    ):
        _, size = figure._rendered("jpeg")
        assert 0 < size["width"] < 2000
        assert 0 < size["height"] < 2000


def test_figure_shows_itself_in_a_notebook_without_pyplot(segments, image, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append((data, more)))
    plots.plot_segments(segments, image)._ipython_display_()
    ((data, more),) = shown
    assert set(data) == {"image/jpeg", "text/plain"}
    picture = Image.open(BytesIO(b64decode(data["image/jpeg"])))
    size = more["metadata"]["image/jpeg"]
    assert abs(picture.width - 2 * size["width"]) <= 1  # sharp on a screen of twice the density
    assert size["width"] > 300


def test_user_axes_are_drawn_into_and_their_figure_comes_back(segments, image):
    mine = NotebookFigure()
    ax = mine.add_subplot()
    assert plots.plot_classes(segments, image, ax=ax) is mine
    assert len(ax.images) == 1


def test_legend_names_classes_with_shares_and_unassigned_last(segments, image):
    named = segments.with_labels([0, 0, -1], {0: "coin"})
    legend = plots.plot_classes(named, image).axes[0].get_legend()
    assert [t.get_text().split() for t in legend.get_texts()] == [
        ["coin", "50.0", "%"],
        ["unassigned", "50.0", "%"],
    ]
    colors = [handle.get_facecolor()[:3] for handle in legend.legend_handles]
    np.testing.assert_allclose(np.array(colors) * 255, palette.class_colors(np.array([0, -1])))


def test_legend_of_many_classes_is_cut_and_says_so(image):
    one = masks.encode(np.ones((40, 60), bool))
    labels = np.concatenate([np.arange(30), [7]])
    legend = plots.plot_classes(
        Segments(rles=[one] * 31, labels=labels), image, max_legend=5
    ).axes[0].get_legend()  # fmt: skip
    texts = [t.get_text() for t in legend.get_texts()]
    assert len(texts) == 6
    assert "class 7   100.0 %" in texts
    assert texts[-1] == "25 more classes   0.0 %"


def test_hostile_names_are_only_text_in_figures(image):
    one = masks.encode(np.ones((40, 60), bool))
    n = len(PAYLOADS)
    named = Segments(rles=[one] * n, labels=np.arange(n), class_names=dict(enumerate(PAYLOADS)))
    for figure in (
        plots.plot_classes(named, image, title=PAYLOADS[7]),
        plots.plot_class_panels(named, image, columns=5),
        latent_plots.plot_projection(named, np.zeros((n, 2))),
    ):
        assert len(figure._rendered("png")[0]) > 1000  # a formula would fail to parse here
        assert "alert(1)" in drawn_text(figure)
    assert plots.plain("$x$") == r"\$x\$"


def test_panels_show_each_class_and_skip_noise(segments, image):
    figure = plots.plot_class_panels(segments, image)
    text = drawn_text(figure)
    assert "class 0" in text
    assert "class 1" in text
    assert "unassigned" not in text
    assert "1 · 45.8 %" in text  # 40 x 30 without the 10 x 10 on top of it, of 40 x 60
    assert "smaller classes" in drawn_text(plots.plot_class_panels(segments, image, max_classes=1))


def test_k_distance_figure_marks_eps_and_counts_core_points():
    text = drawn_text(latent_plots.plot_k_distances(CLUSTERING))
    assert "eps = 0.05" in text
    assert "2 of 3 segments within eps" in text
    assert "1st nearest other" in text


def test_sweep_draws_classes_and_noise_sorted_by_eps():
    upper, lower = latent_plots.plot_sweep(SWEEP).axes
    np.testing.assert_allclose(upper.lines[0].get_xydata(), [[0.01, 2], [0.2, 1]])
    np.testing.assert_allclose(lower.lines[0].get_xydata(), [[0.01, 100 / 3], [0.2, 0]])


def test_projection_paints_points_in_class_colours_noise_first(segments):
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    (dots,) = latent_plots.plot_projection(segments, points).axes[0].collections
    expected = palette.class_colors(np.array([-1, 1, 0]))
    np.testing.assert_allclose(dots.get_facecolor()[:, :3] * 255, expected)
    np.testing.assert_allclose(dots.get_offsets(), points[[2, 0, 1]])
    with pytest.raises(SamlabError, match=r"shape \(3, 2\); got \(2, 2\)"):
        latent_plots.plot_projection(segments, points[:2])


def test_embedding_figure_shows_like_patches_alike_and_leaves_padding_out(image):
    _, right = latent_plots.plot_embedding(PATCHES, image).axes
    colors = np.asarray(right.images[0].get_array())
    assert colors.shape == (43, 64, 3)
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) == 2
    assert (colors[0] != colors[30]).any()
    assert "64 × 43 patches, 5 numbers each" in right.get_title(loc="right")
    np.testing.assert_allclose(right.get_ylim(), [683 / 16 - 0.5, -0.5])


# -- plotly and tables ----------------------------------------------------------------------------


def test_interactive_projection_carries_facts_of_every_segment(segments, image):
    figure = interactive.interactive_projection(segments, image, np.zeros((3, 2)))
    facts = [row for trace in figure.data for row in trace.customdata]
    assert len(facts) == 2 * 3
    assert [0, "class 1", "100", "0.90", "unknown"] in [list(row) for row in facts]
    assert [trace.marker.color for trace in figure.data][::2] == [
        palette.hex_color(-1), palette.hex_color(0), palette.hex_color(1)
    ]  # fmt: skip
    assert figure.layout.images[0].source.startswith("data:image/jpeg;base64,")
    inside = next(t for t in figure.data if t.xaxis == "x" and t.legendgroup == "1")
    assert segments.mask(0)[int(inside.y[0]), int(inside.x[0])]


def test_interactive_projection_of_nothing_and_without_a_picture(segments, empty, image):
    assert len(interactive.interactive_projection(empty, image).data) == 0
    assert len(interactive.interactive_projection(segments, points=np.zeros((3, 2))).data) == 3


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_names_are_only_text_in_html(name, segments, image):
    named = segments.with_labels(segments.labels, {0: name})
    figure = interactive.interactive_projection(named, image, np.zeros((3, 2)))
    own = figure.to_html(full_html=False, include_plotlyjs=False)
    assert own.count("<script") == own.count("</script>")
    assert not re.search(r"<(img|svg|a|b|i)\b", own)
    names = [t["name"] for t in json.loads(figure.to_json())["data"]]
    assert not any("<" in n for n in names)
    table = tables.class_table_html(named)
    assert set(re.findall(r"<(\w+)", table)) == {
        "table", "thead", "tbody", "tr", "th", "td", "span"
    }  # fmt: skip


def test_figure_html_needs_no_network(segments):
    figure = interactive.interactive_projection(segments, points=np.zeros((3, 2)))
    html = interactive.figure_html(figure)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", html)
    assert html.count("Plotly.newPlot") >= 1


def test_class_table_counts_and_sorts(segments, empty):
    table = tables.class_table(segments)
    assert table.index.tolist() == [0, 1, -1]
    assert table["segments"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(table["area_share"], [1100 / 2400, 100 / 2400, 100 / 2400])
    np.testing.assert_allclose(table["predicted_iou"], [0.8, 0.9, 0.7], atol=1e-6)
    assert tables.class_table(empty).empty
    assert tables.class_table_html(empty) == ""


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_text_is_escaped_in_facts(name):
    html = tables.facts_html({name: name, "inner": {name: 1}})
    assert set(re.findall(r"<(\w+)", html)) == {"table", "tbody", "tr", "td"}


def test_summary_says_what_to_do_when_nothing_was_found(segments, empty):
    assert "Lower pred_iou_thresh" in tables.summary_html(empty, NOTHING)
    lost = Clustering(
        labels=np.full(3, -1), eps=0.01, min_samples=3, k_distances=np.ones(3),
        silhouette=np.nan, reason="given",
    )  # fmt: skip
    assert "Raise eps or lower min_samples" in tables.summary_html(segments, lost)
    good = tables.summary_html(segments, CLUSTERING, seconds=1.23)
    for text in ("50.0 %", "0.05", "60 × 40", "1.2"):
        assert f">{text}</b>" in good
