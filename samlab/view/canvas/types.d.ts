import type { Box, RGB, Scene, TipLine, Tooltip } from "../widget/types.d.ts";

/** From the picture's pixels to the stage's: times scale, plus (x, y). */
export interface Camera {
  scale: number;
  x: number;
  y: number;
  /** Follows the size of the stage. */
  fitted: boolean;
}

export type Paint = (context: CanvasRenderingContext2D, camera: Camera) => void;

/** What the canvas shows, but for the camera. */
export interface CanvasState {
  scene: Scene;
  visible: boolean[];
  colours: RGB[];
  faint: boolean[];
  selected: Set<number>;
  hovered: number;
  opacity: number;
  outline: boolean;
  /** A box that is being dragged, in pixels of the stage. */
  box: Box | null;
  /** The crosshair of the keyboard, in pixels of the picture. */
  cursor: [number, number] | null;
  /** Painted over everything, in pixels of the picture. */
  extra: Paint | null;
  /** Painted onto the picture, below the segments, in pixels of the stage. */
  under: Paint | null;
  /** No segment has a colour. */
  bare: boolean;
  /** What is not selected keeps its strength. */
  equal: boolean;
  /** Colours lie on a grey picture; else, where a person marks what they see, it is grey below the
   * segments only. */
  greyed: boolean;
}

/** What the widget around the canvas answers; what it leaves out does not happen. */
export interface CanvasHooks {
  select?(ids: number[], add: boolean): void;
  hover?(id: number): void;
  /** Lines of the tooltip, or null for none. */
  tip?(id: number, stack: number[]): TipLine[] | null;
  /** CSS colour of a segment. */
  colour(id: number): string;
  /** A click or a key at a pixel of the picture; true where the widget has handled it. */
  click?(x: number, y: number, event: MouseEvent | KeyboardEvent): boolean;
  /** A dragged box in pixels of the picture; true where the widget has handled it. */
  box?(box: Box): boolean;
  /** Whether a drag draws a box now, without Shift. */
  dragBox?(): boolean;
  /** Whether clicks mark now: then the arrow keys move a crosshair, and Space clicks there. */
  marks?(): boolean;
}

/** What pointer and keyboard work on. */
export interface CanvasControl {
  stage: HTMLElement;
  state: CanvasState;
  camera: Camera;
  tip: Tooltip;
  fit(): void;
  zoom(factor: number, x?: number, y?: number): void;
  /** The camera has moved: both layers are drawn anew. */
  moved(): void;
  redraw(): void;
  size(): [number, number];
  setHover(id: number): void;
}

/** The canvas as the widgets use it. */
export interface Canvas {
  stage: HTMLElement;
  redraw(): void;
  /** Pixels of each segment that are not covered by another, on the raster. */
  seen(): Float64Array;
  setColours(colours: RGB[], faint?: boolean[]): void;
  /** equal: the others keep their strength. */
  setSelected(selected: Set<number>, equal?: boolean): void;
  setVisible(visible: boolean[]): void;
  setHover(id: number): void;
  /** Other segments on the same picture. */
  setScene(scene: Scene): void;
  setStyle(style: Partial<Pick<CanvasState, "opacity" | "outline" | "extra" | "under" | "bare">>): void;
  picture(): ImageBitmap | null;
  /** The picture without its colours. */
  greyPicture(): OffscreenCanvas | null;
  outlineOf(id: number): Path2D;
  /** Call back when the picture can be drawn. */
  whenReady(ready: () => void): void;
  destroy(): void;
}
