import type { Canvas } from "../canvas/types.d.ts";
import type { Answer } from "../prompter/types.d.ts";
import type { MaskRecord, PackedScene } from "../widget/types.d.ts";

/** What a click does. */
export type AnnotatorMode = "mark" | "select" | "move";

/** A mask of the open picture. */
export interface AnnotatorMask extends MaskRecord {
  id: number;
  /** Its class, or -1. */
  label: number;
  state: "kept" | "asked";
  /** How sure the model is of the class, 0 to 1. */
  sure: number | null;
}

export interface AnnotatorClass {
  name: string;
  count: number;
}

export interface QueueRow {
  /** In the queue. */
  index: number;
  name: string;
  here: boolean;
  status: "new" | "begun" | "done" | "broken";
  why: string;
  count: number;
}

/** How far the work is, and the pictures around the open one. */
export interface QueueStatus {
  done: number;
  total: number;
  broken: number;
  /** Whether the open picture is. */
  finished: boolean;
  rows: QueueRow[];
}

/** What the kernel has set. */
export interface AnnotatorValues {
  picture: { name: string; index: number; scene: PackedScene };
  masks: AnnotatorMask[];
  classes: AnnotatorClass[];
  /** Ids of masks to answer about. */
  questions: number[];
  queue: QueueStatus;
  can: { undo: boolean; redo: boolean };
  status: "encoding" | "proposing" | "ready" | "failed" | "empty";
  note: string;
  running: boolean;
  answer: Answer;
}

export interface AnnotatorPayload {
  stage: "assisted" | "semi-automatic" | "automatic";
  palette: string[];
  noise: string;
}

/** What a person can do; each tells the kernel or paints anew. */
export interface AnnotatorActions {
  send(kind: string, more?: object): void;
  /** Keep, label or answer by a class. */
  useClass(label: number): void;
  yes(): void;
  no(): void;
  postpone(): void;
  escape(): void;
  undo(): void;
  setMode(mode: AnnotatorMode): void;
  finish(): void;
  select(ids: number[], add: boolean): void;
  addClass(name: string): void;
  nextProposal(): void;
  toggleHelp(): void;
}

/** What the lists need of the canvas of the open picture. */
export type CanvasOf = () => Canvas | null;
