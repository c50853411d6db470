// The class table: colour, name to edit, count, share of the picture, hide.

const MOST_ROWS = 200;

// hooks: pick(label, add), rename(label, text), hide(label, hidden), hover(label or null)
function createTable(host, hooks) {
  const body = make("div", { class: "sl-rows", role: "list" });
  const more = make("div", { class: "sl-more", hidden: true });
  host.append(body, more);
  const rows = [];
  const adds = (event) => event.shiftKey || event.ctrlKey || event.metaKey;

  function makeRow() {
    const row = { label: null };
    // The whole row picks the class; for the keyboard there is the swatch.
    row.swatch = make("button", { type: "button", class: "sl-swatch",
      onclick: (event) => hooks.pick(row.label, adds(event)) });
    row.name = make("input", { class: "sl-name", type: "text", spellcheck: false, maxLength: 80,
      onkeydown: (event) => {
        event.stopPropagation();
        if (event.key === "Enter") row.name.blur();
        if (event.key === "Escape") {
          row.name.value = row.shown;
          row.name.blur();
        }
      },
      onchange: () => hooks.rename(row.label, row.name.value),
    });
    row.bar = make("i");
    row.count = make("span", { class: "sl-count" });
    row.share = make("span", { class: "sl-share" });
    row.hide = make("button", { type: "button", class: "sl-icon-button",
      onclick: () => hooks.hide(row.label, !row.hidden) });
    row.element = make("div", { class: "sl-row", role: "listitem",
      onclick: (event) => {
        if (event.target.closest("button, input")) return;
        hooks.pick(row.label, adds(event));
      },
      onpointerenter: () => hooks.hover?.(row.label),
      onpointerleave: () => hooks.hover?.(null),
    }, row.swatch, row.name, row.count, make("span", { class: "sl-bar" }, row.bar), row.share,
    row.hide);
    rows.push(row);
    return row;
  }

  return {
    // classes: [{ label, name, colour, count, share, hidden, selected }], selected is 0..1
    set(classes) {
      const shown = classes.slice(0, MOST_ROWS);
      while (rows.length < shown.length) body.append(makeRow().element);
      rows.forEach((row, i) => {
        const data = shown[i];
        row.element.hidden = !data;
        if (!data) return;
        if (row.label !== data.label || row.shown !== data.name) {
          row.name.value = data.name;
          row.shown = data.name;
          row.name.setAttribute("aria-label", `Name of ${data.name}`);
          row.swatch.setAttribute("aria-label", `Select ${data.name}`);
        }
        row.swatch.setAttribute("aria-pressed", String(data.selected === 1));
        row.label = data.label;
        row.name.readOnly = data.label < 0;
        row.swatch.style.background = data.colour;
        row.count.textContent = data.count;
        row.share.textContent = percent(data.share);
        row.bar.style.width = `${Math.min(100, 100 * data.bar)}%`;
        row.bar.style.background = data.colour;
        if (row.hidden !== data.hidden) {
          row.hidden = data.hidden;
          const label = data.hidden ? "Show this class again" : "Hide this class";
          row.hide.replaceChildren(icon(data.hidden ? "shut" : "eye"));
          row.hide.title = label;
          row.hide.setAttribute("aria-label", label);
        }
        row.element.classList.toggle("sl-hidden", data.hidden);
        row.element.classList.toggle("sl-on", data.selected === 1);
        row.element.classList.toggle("sl-some", data.selected > 0 && data.selected < 1);
      });
      more.hidden = classes.length <= MOST_ROWS;
      more.textContent = `and ${classes.length - MOST_ROWS} smaller classes`;
    },
  };
}
