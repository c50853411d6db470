"""One path-traced scene: place, light, camera, picture, ids, and the tree of what is visible."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from mathutils import Vector
from numpy.typing import NDArray

from training.traced.places import PLACES, View
from training.traced.stage import Stage
from training.traced.tree import Tree, tree_of


def _light(stage: Stage, view: View) -> None:
    """Sun and sky, an overcast sky, or lamps in a room."""
    rng, scene = stage.rng, bpy.context.scene
    world = bpy.data.worlds.new("world")
    scene.world, world.use_nodes = world, True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    background = nodes["Background"]
    kind = rng.choice(["sky", "overcast"], p=[0.75, 0.25])
    if kind == "sky":
        sky = nodes.new("ShaderNodeTexSky")
        sky.sun_elevation = float(rng.uniform(0.12, 1.3))
        sky.sun_rotation = float(rng.uniform(0, 6.3))
        sky.sun_size = float(np.exp(rng.uniform(-5, -1.5)))
        sky.dust_density = float(rng.uniform(0, 5))
        links.new(sky.outputs[0], background.inputs["Color"])
        background.inputs["Strength"].default_value = float(rng.uniform(0.06, 0.16))
    else:
        grey = rng.uniform(0.4, 1) + rng.normal(0, 0.05, 3)
        background.inputs["Color"].default_value = (*np.clip(grey, 0, 1).tolist(), 1)
        background.inputs["Strength"].default_value = float(rng.uniform(0.3, 1.1))
    lamps = int(rng.integers(1, 4)) if view.indoors or rng.random() < 0.25 else 0
    for _ in range(lamps):
        lamp = bpy.data.lights.new("lamp", str(rng.choice(["AREA", "POINT", "SPOT"])))
        lamp.energy = float(np.exp(rng.uniform(3, 5.5)))
        lamp.color = np.clip([1, rng.uniform(0.75, 1), rng.uniform(0.5, 1)], 0, 1).tolist()
        if lamp.type == "AREA":
            lamp.size = float(rng.uniform(0.1, 1.5))
        else:
            lamp.shadow_soft_size = float(np.exp(rng.uniform(-4, -0.5)))
        thing = bpy.data.objects.new("lamp", lamp)
        scene.collection.objects.link(thing)
        spot = Vector((rng.uniform(-2, 2), rng.uniform(-2, 1), rng.uniform(1.5, 2.6)))
        thing.location = spot
        thing.rotation_euler = (Vector(view.target) - spot).to_track_quat("-Z", "Y").to_euler()


def _camera(stage: Stage, view: View) -> None:
    rng, scene = stage.rng, bpy.context.scene
    camera = bpy.data.cameras.new("camera")
    thing = bpy.data.objects.new("camera", camera)
    scene.collection.objects.link(thing)
    scene.camera = thing
    away, up = rng.uniform(*view.distance), rng.uniform(*view.elevation)
    around = rng.uniform(*view.turn)
    target = Vector(view.target) + Vector(rng.normal(0, 0.12, 3).tolist())
    direction = (np.sin(around) * np.cos(up), -np.cos(around) * np.cos(up), np.sin(up))
    thing.location = target + Vector([away * d for d in direction])
    thing.location.z = max(thing.location.z, 0.15)
    look = (target - thing.location).to_track_quat("-Z", "Y").to_euler()
    look.rotate_axis("Z", float(rng.normal(0, 0.06)))
    thing.rotation_euler = look
    camera.lens = float(rng.uniform(26, 55))
    camera.clip_start = 0.02
    if rng.random() < 0.4:
        camera.dof.use_dof = True
        camera.dof.focus_distance = (target - thing.location).length
        camera.dof.aperture_fstop = float(np.exp(rng.uniform(-1.4, 1.4)))


def _settings(seed: int, size: int, samples: int, threads: int, out: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples, scene.cycles.seed = samples, seed
    scene.cycles.use_denoising, scene.cycles.denoising_quality = True, "FAST"
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.max_bounces = 4
    scene.cycles.sample_clamp_indirect = 4.0
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.resolution_x = scene.render.resolution_y = size
    layer = bpy.context.view_layer
    layer.use_pass_object_index = layer.use_pass_material_index = True
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.filepath = str(out)


def _developed(rng: np.random.Generator, light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scene light (H, W, 3) to a picture, as a camera does it: exposure by what it sees, a soft
    shoulder, sRGB."""
    grey = light.mean(2)
    exposure = 0.18 / max(float(np.exp(np.log(grey + 1e-3).mean())), 1e-3)
    exposure = min(exposure, 1.6 / max(float(np.quantile(grey, 0.97)), 1e-3))
    x = light * exposure * float(np.exp(rng.normal(0.25, 0.3)))
    shoulder = rng.uniform(0.6, 1)
    x = np.where(
        x < shoulder, x, shoulder + (1 - shoulder) * np.tanh((x - shoulder) / (1.001 - shoulder))
    )
    x = np.clip(x, 0, 1)
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.round(srgb * 255).astype(np.uint8)


def render(
    seed: int, folder: Path, size: int = 352, samples: int = 4, threads: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Tree]:
    """Picture (S, S, 3), leaf map (S, S) and tree of the scene of a seed."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    rng = np.random.default_rng([seed, 45])
    stage = Stage(rng)
    view = PLACES[rng.integers(len(PLACES))](stage)
    _light(stage, view)
    _camera(stage, view)
    exr = folder / f"{seed}.exr"
    _settings(seed, size, samples, threads, exr)
    bpy.ops.render.render(write_still=True)
    channels = OpenEXR.File(str(exr)).channels()

    def find(ending: str) -> NDArray:
        return next(c.pixels for name, c in channels.items() if name.endswith(ending))

    light = next(
        c.pixels
        for n, c in channels.items()
        if n.endswith("Combined.RGBA") or n.endswith("Combined")
    )
    objects, materials = find("IndexOB.X"), find("IndexMA.X")
    exr.unlink()
    leaf, tree = tree_of(objects.astype(int), materials.astype(int), stage.owner, stage.kind)
    return _developed(rng, light[..., :3]), leaf, tree
