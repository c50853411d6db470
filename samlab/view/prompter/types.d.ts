import type { Canvas } from "../canvas/types.d.ts";
import type { Box, Mask, MaskRecord, PackedScene, Scene } from "../widget/types.d.ts";

/** x, y in pixels of the picture, and 1 for foreground or 0 for background. */
export type PromptPoint = [number, number, number];

export interface Prompt {
  points: PromptPoint[];
  box: Box | null;
}

/** A mask that answers a prompt. */
export interface Proposal {
  counts: string;
  area: number;
  iou: number;
  mask: Mask;
}

/** The kernel's answer: to which turn, and the masks from large to small. */
export interface Answer {
  turn?: number;
  masks?: Omit<Proposal, "mask">[];
  /** Why the picture could not be encoded. */
  text?: string;
}

/** What a widget around the prompting gives and is told. */
export interface PromptingHooks {
  scene(): Scene;
  canvas(): Canvas | null;
  send(message: object): void;
  /** Whether the picture is encoded. */
  ready(): boolean;
  showError(text: string): void;
  hideError(): void;
  changed(): void;
  /** What the tooltip of a card says about keys. */
  key(i: number): string;
}

/** A kept mask with the name of its class, or "". */
export interface KeptMask extends MaskRecord {
  iou: number;
  name: string;
}

export interface PrompterPayload {
  title: string;
  scene: PackedScene;
  palette: string[];
  noise: string;
}
