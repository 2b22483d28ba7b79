/** A sheet of small pictures, side by side: one request, and one image for the page to cut its tiles from. */

export interface PictureInfo {
  /** A path, or `google/1f600`. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** What it shows, where that is known: pictures of one subject should be neighbours. */
  readonly subject?: string;
}

export interface Sheet {
  readonly columns: number;
  /** Side of a tile, in pixels. */
  readonly cell: number;
  readonly pictures: readonly PictureInfo[];
}
