// The canvas alone: the picture with its segments, coloured by class, to look at and select in.

function renderCanvas({ model, el }) {
  const payload = model.get("payload");
  const scene = openScene(payload.scene);
  const palette = payload.palette.map(parseHex);
  const grey = parseHex(payload.noise);
  let labels = model.get("labels");
  let names = model.get("names");
  let selected = new Set(model.get("selected"));
  const root = makeRoot("sl-single");
  const panel = make("div", { class: "sl-panel sl-picture-panel" });
  panel.style.setProperty("--sl-ratio", `${scene.width} / ${scene.height}`);
  root.append(panel);
  el.replaceChildren(root);
  const colour = (id) => (labels[id] < 0 ? grey : palette[labels[id] % palette.length]);
  const canvas = createCanvas(panel, scene, {
    colour: (id) => `rgb(${colour(id).join(" ")})`,
    tip: (id, stack) => segmentFacts(scene, id, className(names, labels[id]), stack),
    select: (ids, add) => {
      selected = toggled(selected, ids, add);
      canvas.setSelected(selected);
      model.set("selected", [...selected].sort((a, b) => a - b));
      model.save_changes();
    },
  });
  const update = () => {
    labels = model.get("labels");
    names = model.get("names");
    selected = new Set(model.get("selected"));
    canvas.setColours(labels.map((_, id) => colour(id)), labels.map((label) => label < 0));
    canvas.setSelected(selected);
  };
  const watched = ["labels", "names", "selected"].map((name) => `change:${name}`);
  for (const name of watched) model.on(name, update);
  update();
  const unfollow = followTheme(root, () => canvas.view.schedule());
  return () => {
    for (const name of watched) model.off(name, update);
    unfollow();
    canvas.destroy();
  };
}
