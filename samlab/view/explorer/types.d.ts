import type { ClassNames, Scene } from "../widget/types.d.ts";

/** How segments are clustered, but for eps; as Settings in tuning.py. */
export type ClusterSettings = Record<string, string | number | boolean> & {
  embedding: string;
  min_samples: number;
};

/** Labels for each step of the slider, and summaries; from Tuning.payload in tuning.py. */
export interface Sweep {
  /** Number of segments. */
  n: number;
  /** Name of what the slider moves. */
  parameter: string;
  values: number[];
  suggested: number | null;
  /** The step nearest to the suggested value. */
  start: number;
  /** n labels per step. */
  table: Int16Array;
  /** The same where noise takes the nearest class that is near enough; empty where not computed. */
  filled: Int16Array;
  /** Each segment's distance to its k-th neighbour, ascending. */
  distances: Float32Array;
  /** Steps that last, the fewest classes first. */
  ladder: number[];
  classes: number[];
  noise: number[];
  silhouette: (number | null)[];
  settings: ClusterSettings;
}

/** A name with what was named: the class's label and members then. */
export interface NameRecord {
  label: number;
  name: string;
  members: number[];
}

/** Everything a person changes; replaced, never edited. */
export interface Clustering {
  labels: number[];
  /** Of the slider; -1 where no step has these labels. */
  step: number;
  /** eps; null where no radius gives these classes. */
  value: number | null;
  records: NameRecord[];
  /** Labels of classes that are not shown. */
  hidden: Set<number>;
  /** Classes of the clustering alone, without what a person did. */
  base: number[];
  /** What a person put where. */
  pins: Pins;
  /** Noise takes the nearest class. */
  fill: boolean;
}

/** Class by segment. */
export type Pins = Map<number, number>;

/** The same as it travels to the kernel and back. */
export type PackedClustering = Omit<Clustering, "hidden" | "pins"> & {
  hidden: number[];
  pins: [number, number][];
  names: ClassNames;
};

/** A clustering of the class ladder. */
export interface Rung {
  /** The first and the last step of the slider with these classes, and one between. */
  first: number;
  last: number;
  step: number;
  /** How many. */
  classes: number;
  /** Share of the picture, 0 to 1. */
  unassigned: number;
}

/** A picture of the ladder to choose. */
export interface Tile {
  labels: number[];
  /** What it is, in one or two lines. */
  facts: string[];
  choose(): void;
}

/** Where a class is split, below the ladder. */
export interface Branch {
  /** shown: segments that have a colour. */
  open(title: string, tiles: Tile[], shown: Set<number>): void;
  /** Mark a tile, -1 for none. */
  press(tile: number): void;
  close(): void;
}

/** A row of the class table. */
export interface ClassRow {
  label: number;
  name: string;
  colour: string;
  count: number;
  /** Of the picture, 0 to 1. */
  share: number;
  /** Length of the bar, 0 to 1. */
  bar: number;
  hidden: boolean;
  /** Share of the members that is selected, 0 to 1. */
  selected: number;
}

export interface ExplorerPayload {
  title: string;
  scene: Scene;
  /** Values and texts by setting. */
  choices: Record<string, [string, string][]>;
  /** Texts with {eps}-like fields, by their title. */
  templates: Record<string, string>;
  /** Python that makes vectors the segments do not come with, by the vectors' name. */
  prefixes: Record<string, string>;
  poolable: string | null;
  /** Run lengths of the masks that the segments stand for, if they were given. */
  masks: string[];
  palette: string[];
  noise: string;
}

/** The page as what a person does and what the kernel sends need it. */
export interface ExplorerPage {
  /** The state's classes and selection. */
  show(): void;
  /** The sweep as well. */
  showAll(): void;
  showSelection(): void;
  showProjection(projection: { points: DataView; title: string }): void;
  closeSplit(): void;
  /** The controls as the state has them, where a choice has failed. */
  reset(): void;
  setBusy(busy: boolean): void;
  redraw(): void;
  destroy(): void;
}
