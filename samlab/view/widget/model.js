// What comes from the kernel: values by name, numbers as bytes; and the same in a written file.

/** @import { Model } from "./types.d.ts" */

/**
 * Numbers that travelled as bytes. The bytes may begin anywhere in a larger buffer, and typed
 * arrays must begin at a multiple of their element size, hence the copy.
 * @template T
 * @param {DataView | ArrayBuffer} view
 * @param {new (buffer: ArrayBuffer) => T} Type
 * @returns {T}
 */
export function numbers(view, Type) {
  const [buffer, start] = view instanceof ArrayBuffer ? [view, 0] : [view.buffer, view.byteOffset];
  return new Type(/** @type {ArrayBuffer} */ (buffer.slice(start, start + view.byteLength)));
}

/**
 * Listen to several events of a model.
 * @param {Model} model
 * @param {Record<string, (message?: any) => void>} listeners
 * @returns {() => void} Stops listening.
 */
export function listen(model, listeners) {
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

/**
 * A written file has no kernel: the same interface over plain values.
 * @param {Record<string, unknown>} values
 * @returns {Model}
 */
export function staticModel(values) {
  /** @type {Map<string, ((message?: unknown) => void)[]>} */
  const listeners = new Map();
  return {
    isStatic: true,
    get: (key) => values[key],
    set: (key, value) => {
      values[key] = value;
      for (const listener of listeners.get(`change:${key}`) ?? []) listener();
    },
    save_changes: () => {},
    send: () => {},
    on: (name, listener) => {
      listeners.set(name, [...(listeners.get(name) ?? []), listener]);
    },
    off: (name, listener) => {
      listeners.set(name, (listeners.get(name) ?? []).filter((other) => other !== listener));
    },
  };
}

/**
 * The inverse of `pack` in html.py.
 * @param {any} value
 * @returns {any}
 */
export function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$bytes === "string") {
    return new DataView(Uint8Array.from(atob(value.$bytes), (c) => c.charCodeAt(0)).buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}
