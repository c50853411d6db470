// Points and boxes about a picture, and the masks that answer them: what prompter and annotator share.

const PARTS = ["whole", "part", "sub-part"];

// The mask as a path to fill: one box per stretch of a column.
function maskPath(mask, height) {
  const path = new Path2D();
  forEachStretch(mask, height, (x, from, to) => path.rect(x, from, 1.02, to - from));
  return path;
}

function edgePath(mask, height) {
  const path = new Path2D();
  const edges = outlineEdges(mask, height);
  for (let i = 0; i < edges.length; i += 4) {
    path.moveTo(edges[i], edges[i + 1]);
    path.lineTo(edges[i + 2], edges[i + 3]);
  }
  return path;
}

// The smallest of the masks that the model trusts about as much as the one it trusts most: a click
// on a thing means the thing, and the background around it often scores a hair better.
function favourite(proposals) {
  const best = Math.max(...proposals.map((p) => p.iou));
  let found = 0;
  proposals.forEach((p, i) => {
    if (p.area > 0 && p.iou > best - 0.02) found = i; // they come from large to small
  });
  return found;
}

// hooks: scene(), canvas(), send(message), ready() -> whether the picture is encoded, say(text),
// hush(), changed(), key(i) -> what the tooltip of card i says about keys
function createPrompting(hooks) {
  let prompt = { points: [], box: null };
  let past = [];
  let proposals = []; // { mask, area, iou, fill, edge }
  let choice = 0;
  // Not from 0: another view of the widget, or this page before it was loaded again, may have asked the
  // same, and an answer that equals the last one would not be sent.
  let turn = Math.floor(Math.random() * 1e9);
  let busy = false;

  function ask(next) {
    prompt = next;
    hooks.hush();
    busy = true;
    turn += 1;
    hooks.send({ kind: "prompt", turn, ...prompt });
    hooks.changed();
  }
  function step(next) {
    if (!hooks.ready()) {
      hooks.say("The picture is still being encoded; click again in a moment.");
    } else if (!next.box && !next.points.some((p) => p[2])) {
      hooks.say("Mark something that belongs to the mask first; Shift takes away.");
    } else {
      past.push(prompt);
      ask(next);
    }
  }
  function clear() {
    prompt = { points: [], box: null };
    past = [];
    proposals = [];
    busy = false;
    turn += 1;
    hooks.changed();
  }
  function drawPoint(context, [x, y, kind], unit) {
    context.beginPath();
    context.arc(x, y, 6 * unit, 0, 7);
    context.fillStyle = kind ? "#1fa34a" : "#d7263d";
    context.fill();
    context.lineWidth = 2 * unit;
    context.strokeStyle = "#fff";
    context.stroke();
    context.beginPath();
    context.moveTo(x - 3 * unit, y);
    context.lineTo(x + 3 * unit, y);
    if (kind) {
      context.moveTo(x, y - 3 * unit);
      context.lineTo(x, y + 3 * unit);
    }
    context.stroke();
  }
  function drawThumb(thumb, proposal) {
    const scene = hooks.scene();
    const context = thumb.getContext("2d");
    const scale = Math.min(thumb.width / scene.width, thumb.height / scene.height);
    context.translate((thumb.width - scene.width * scale) / 2,
      (thumb.height - scene.height * scale) / 2);
    context.scale(scale, scale);
    const picture = hooks.canvas().picture();
    if (picture) context.drawImage(picture, 0, 0, scene.width, scene.height);
    context.fillStyle = "rgba(0, 0, 0, .45)";
    context.fillRect(0, 0, scene.width, scene.height);
    context.fillStyle = "#3aa0ff";
    context.fill(proposal.fill);
  }

  return {
    proposals: () => proposals,
    choice: () => choice,
    busy: () => busy,
    // Whether something has been prompted: one press of undo then takes back the last point.
    begun: () => past.length > 0,
    clear,
    point(x, y, kind) {
      const scene = hooks.scene();
      if (x < 0 || y < 0 || x > scene.width || y > scene.height) return;
      step({ ...prompt, points: [...prompt.points, [x, y, kind]] });
    },
    box: (box) => step({ ...prompt, box }),
    undo() {
      if (past.length === 0) return;
      const before = past.pop();
      if (before.points.length || before.box) ask(before);
      else clear();
    },
    choose(i) {
      if (i >= proposals.length) return;
      choice = i;
      hooks.changed();
    },
    answered(answer) {
      if (answer.turn !== turn || !answer.masks) return;
      busy = false;
      proposals = answer.masks.map((m) => {
        const mask = decodeMask(m.counts);
        const { height } = hooks.scene();
        return { ...m, mask, fill: maskPath(mask, height), edge: edgePath(mask, height) };
      });
      // A first prompt takes the model's favourite; a refined one keeps the level.
      if (past.length <= 1) choice = favourite(proposals);
      hooks.changed();
    },
    // The kernel could not answer: back to the prompt before.
    failed() {
      if (busy) prompt = past.pop() ?? { points: [], box: null };
      busy = false;
      hooks.changed();
    },
    draw(context, camera) {
      const shown = proposals[choice];
      const unit = 1 / camera.scale;
      if (shown) {
        context.fillStyle = "rgba(30, 144, 255, .45)";
        context.fill(shown.fill);
        context.lineWidth = 4 * unit;
        context.strokeStyle = "rgba(0, 0, 0, .5)";
        context.stroke(shown.edge);
        context.lineWidth = 2 * unit;
        context.strokeStyle = "#fff";
        context.stroke(shown.edge);
      }
      if (prompt.box) {
        const [x0, y0, x1, y1] = prompt.box;
        context.lineWidth = 2 * unit;
        context.strokeStyle = "#ffd54a";
        context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      }
      for (const point of prompt.points) drawPoint(context, point, unit);
    },
    // The masks to choose from, as buttons.
    cards: () => proposals.map((proposal, i) => {
      const scene = hooks.scene();
      const thumb = make("canvas", { width: 96, height: 72 });
      drawThumb(thumb, proposal);
      return make("button", { type: "button", class: "sl-card", role: "radio",
        "aria-checked": String(i === choice), title: `Choose (${hooks.key(i)})`,
        onclick: () => {
          choice = i;
          hooks.changed();
        } }, thumb,
      make("b", { text: `${i + 1} ${PARTS[i] ?? ""}` }),
      make("span", { text: `IoU ${proposal.iou.toFixed(2)}` }),
      make("span", { text: percent(proposal.area / (scene.width * scene.height)) }));
    }),
  };
}
