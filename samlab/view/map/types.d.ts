import type { RGB, TipLine, Tooltip } from "../widget/types.d.ts";

/** What a drag does. */
export type MapMode = "lasso" | "box" | "hand";

/** What the map shows. */
export interface MapState {
  /** Coordinates [x, y, x, y, ...]. */
  points: Float32Array;
  /** Where the points are on their way to. */
  goal?: Float32Array;
  /** Smallest and largest coordinates: x0, y0, x1, y1. */
  extent: [number, number, number, number];
  /** Of each point, in CSS pixels. */
  radius: number[];
  zoom: number;
  x: number;
  y: number;
  mode: MapMode;
  colours: RGB[];
  noise: boolean[];
  /** Points that cannot be reached: their classes are hidden. */
  faint: boolean[];
  selected: Set<number>;
  hovered: number;
  /** The lasso or box that is being drawn, in pixels of the stage. */
  path: [number, number][];
}

export interface MapHooks {
  select?(ids: number[], add: boolean): void;
  hover?(id: number): void;
  tip(id: number): TipLine[];
  colour(id: number): string;
  /** What a point stands for, below its tooltip's lines. */
  picture?(id: number): HTMLElement;
  /** Texts to write at the middle of points. */
  names(): [string, number[]][];
}

/** What pointer and keyboard work on. */
export interface MapControl {
  stage: HTMLElement;
  state: MapState;
  tip: Tooltip;
  redraw(): void;
  size(): [number, number];
  zoom(factor: number, x?: number, y?: number): void;
  fit(): void;
}
