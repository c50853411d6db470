// Shapes that the widgets' files share. What comes from the kernel is as view/scene.py writes it.

export type RGB = [number, number, number];
/** x0, y0, x1, y1, half-open, in pixels of the picture. */
export type Box = [number, number, number, number];
export type Size = [number, number];

/** Foreground runs as half-open ranges of x * height + y. */
export interface Mask {
  starts: Int32Array;
  ends: Int32Array;
}

/** A picture, and columns with one entry per segment. */
export interface PackedScene {
  width: number;
  height: number;
  /** Width and height of the index map. */
  raster: Size;
  picture: BlobPart;
  mime: string;
  /** Masks as COCO's compressed run lengths. */
  counts: string[];
  /** In pixels. */
  areas: number[];
  iou: (number | null)[];
  stability: (number | null)[];
}

export interface Scene extends PackedScene {
  masks: Mask[];
  /** Segments from large to small. */
  order: number[];
  boxes: Box[];
  /** Number of segments. */
  n: number;
}

/** A mask on its own, as prompter and annotator have them. */
export interface MaskRecord {
  counts: string;
  area: number;
  iou: number | null;
  stability: number | null;
}

/** Names of classes by label. */
export type ClassNames = Record<number, string>;

export interface Palette {
  rgb(label: number): RGB;
  css(label: number): string;
}

/** What anywidget gives; a written file has the same over plain values. */
export interface Model {
  isStatic?: boolean;
  get(key: string): any;
  set(key: string, value: unknown): void;
  save_changes(): void;
  send(message: object): void;
  on(name: string, listener: (message?: any) => void): void;
  off(name: string, listener: (message?: any) => void): void;
}

export interface WidgetContext {
  model: Model;
  el: HTMLElement;
}

/** A line of a tooltip: a text, or a label and its value. */
export type TipLine = string | [string, string];

export interface Tooltip {
  hide(): void;
  show(x: number, y: number, lines: TipLine[], colour?: string, picture?: Node): void;
}

/** A canvas that follows the size of its host. */
export interface Layer {
  element: HTMLCanvasElement;
  schedule(): void;
  size(): Size;
  stop(): void;
}

export type Draw = (context: CanvasRenderingContext2D, width: number, height: number) => void;

export interface Banner {
  show(message: string): void;
  hide(): void;
}

type Handlers = {
  [K in keyof GlobalEventHandlersEventMap as `on${K}`]?: (event: GlobalEventHandlersEventMap[K]) => void;
};

/** Attributes, properties and listeners of an element to make. */
export type ElementOptions = Handlers & { class?: string; text?: string } & Record<string, unknown>;
