/** A sheet of small images, side by side: one request, and one image for the page to cut its tiles from. */

export interface ImageInfo {
  /** A path, or `google/1f600`. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** What it shows, where that is known: images of one subject should be neighbours. */
  readonly subject?: string;
}

export interface Sheet {
  readonly columns: number;
  /** Side of a tile, in pixels. */
  readonly cell: number;
  readonly images: readonly ImageInfo[];
}
