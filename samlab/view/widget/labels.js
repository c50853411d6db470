// Class labels as plain data: a label per segment, -1 is noise. Nothing here touches the page.

// Members per class: Map label -> [segment ids], in order of label, noise last.
function membersOf(labels) {
  const found = new Map();
  for (let i = 0; i < labels.length; i++) {
    if (!found.has(labels[i])) found.set(labels[i], []);
    found.get(labels[i]).push(i);
  }
  const sorted = [...found.entries()].sort((a, b) => (a[0] < 0) - (b[0] < 0) || a[0] - b[0]);
  return new Map(sorted);
}

// All classes that the given segments belong to become the first (lowest) of them; noise is no
// class, so only the selected noise segments join.
function mergeClasses(labels, ids) {
  const classes = new Set(ids.map((i) => labels[i]).filter((label) => label >= 0));
  if (classes.size === 0) return splitClass(labels, ids);
  const target = Math.min(...classes);
  const chosen = new Set(ids);
  return labels.map((label, i) => (classes.has(label) || chosen.has(i) ? target : label));
}

// The given segments leave their classes and form a new one, with the lowest free label.
function splitClass(labels, ids) {
  const chosen = new Set(ids);
  const used = new Set(labels.filter((label, i) => !chosen.has(i)));
  let fresh = 0;
  while (used.has(fresh) || labels.includes(fresh)) fresh++;
  return labels.map((label, i) => (chosen.has(i) ? fresh : label));
}

// The classes are parted as `row`, other labels of the same segments, parts them. The largest part of
// a class keeps its label, the others get free ones; what `row` calls noise is noise.
function splitAlong(labels, classes, row) {
  const next = labels.slice();
  const used = new Set(labels);
  let fresh = 0;
  for (const label of classes) {
    const parts = new Map();
    labels.forEach((own, i) => {
      if (own !== label) return;
      if (!parts.has(row[i])) parts.set(row[i], []);
      parts.get(row[i]).push(i);
    });
    const bySize = [...parts.entries()].filter(([part]) => part >= 0)
      .sort((a, b) => b[1].length - a[1].length || a[0] - b[0]);
    for (const i of parts.get(-1) ?? []) next[i] = -1;
    for (const [, ids] of bySize.slice(1)) {
      while (used.has(fresh)) fresh++;
      used.add(fresh);
      for (const i of ids) next[i] = fresh;
    }
  }
  return next;
}

// The step of the sweep nearest below `from` (itself first) that parts one of the classes in two;
// -1 where none does.
function splitStep(labels, classes, sweep, from) {
  for (let step = from; step >= 0; step--) {
    const row = sweepLabels(sweep, step);
    for (const label of classes) {
      const parts = new Set();
      labels.forEach((own, i) => own === label && row[i] >= 0 && parts.add(row[i]));
      if (parts.size > 1) return step;
    }
  }
  return -1;
}

function toNoise(labels, ids) {
  const chosen = new Set(ids);
  return labels.map((label, i) => (chosen.has(i) ? -1 : label));
}

// Names given by a person stay with what was named: a record { label, name, members } holds for
// a class of that label while at least half of the smaller of the two sets is in both. So a name
// that vanishes on the way of the slider is back when the slider is.
function namesFor(records, members) {
  const names = {};
  for (const record of records) {
    const now = members.get(record.label);
    if (!now) continue;
    const then = new Set(record.members);
    const shared = now.filter((i) => then.has(i)).length;
    if (2 * shared >= Math.min(now.length, then.size)) names[record.label] = record.name;
  }
  return names;
}

function rename(records, label, name, members) {
  const rest = records.filter((record) => record.label !== label);
  const text = name.trim();
  return text ? [...rest, { label, name: text, members }] : rest;
}

// Mirrors Segments.class_name in Python.
function className(names, label) {
  return names[label] ?? (label === -1 ? "noise" : `class ${label}`);
}

// Row `step` of a sweep's label table.
function sweepLabels(sweep, step) {
  const n = sweep.n;
  return Array.from(sweep.table.subarray(step * n, (step + 1) * n));
}

function nearestStep(values, value) {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (Math.abs(values[i] - value) < Math.abs(values[best] - value)) best = i;
  }
  return best;
}

function shortNumber(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(digits)));
}

function percent(share) {
  const value = 100 * share;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

// The text that reproduces the current settings; `template` has {eps}-like places to fill.
function fillTemplate(template, settings) {
  return template.replace(/\{(\w+)\}/g, (all, key) =>
    key in settings ? JSON.stringify(settings[key]) : all,
  );
}

// A selection after a click: replaced, or with Shift added to; what is all in it leaves it.
function toggled(selected, ids, add) {
  if (!add) return new Set(ids);
  const next = new Set(selected);
  const all = ids.every((id) => next.has(id));
  for (const id of ids) {
    if (all) next.delete(id);
    else next.add(id);
  }
  return next;
}

// What a tooltip says about a segment.
function segmentFacts(scene, id, name, stack) {
  const share = percent(scene.areas[id] / (scene.width * scene.height));
  const lines = [name, ["segment", String(id)],
    ["area", `${scene.areas[id].toLocaleString("en")} px · ${share}`]];
  if (scene.iou[id] !== null) lines.push(["predicted IoU", shortNumber(scene.iou[id], 2)]);
  if (scene.stability[id] !== null) lines.push(["stability", shortNumber(scene.stability[id], 2)]);
  if (stack.length > 1) lines.push(`${stack.length} levels here: click again for the next one out`);
  return lines;
}
