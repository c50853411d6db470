import type { ClassNames, PackedScene } from "../widget/types.d.ts";

/** Features of the picture's patches: int8 rows of unit length, with one scale each. */
export interface Patches {
  rows: number;
  columns: number;
  /** Rows and columns that the picture fills; the last may reach into the padding. */
  extent: [number, number];
  values: Int8Array;
  scales: Float32Array;
}

/** For every segment its k nearest segments of other pictures. */
export interface OtherPictures {
  k: number;
  ids: number[];
  scores: number[];
  /** Picture of each of those segments. */
  names: Record<number, string>;
  /** Index of its thumbnail on the sheet. */
  thumbs: Record<number, number>;
  /** All thumbnails as one JPEG. */
  sheet: BlobPart | null;
  /** Side of a thumbnail in pixels. */
  side: number;
}

export type ProbeMode = "patches" | "segments" | "classes";

export interface ProbePayload {
  title: string;
  scene: PackedScene;
  labels: number[];
  names: ClassNames;
  /** Length of a vector. */
  width: number;
  vectors: DataView;
  patches: (Omit<Patches, "values" | "scales"> & { values: DataView; scales: DataView }) | null;
  others: OtherPictures | null;
  /** Colours from low to high. */
  ramp: string[];
  palette: string[];
  noise: string;
}
