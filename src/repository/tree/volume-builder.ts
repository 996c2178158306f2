/** How a backup says what a volume consists of; one implementation per layout. */
import type { ContentId } from '../content/content-id.ts';
import type { ObjectId } from '../object/object-id.ts';

/** A leaf as the pipeline knows it: its content, or undefined for one that is all zeros. */
export type LeafId = ContentId | undefined;

/**
 * What is never set keeps what the base says, zeros where there is no base. A node may be set again, the last call
 * counts. Calls may overlap as long as they concern different nodes.
 */
export interface VolumeBuilder {
  /** Sets all leaves of a node, from its first to its last. */
  setNode(node: number, leaves: readonly LeafId[]): Promise<void>;
  /** Sets some leaves of a node, by their number in it; the others keep what the base says. */
  patchNode(node: number, changed: ReadonlyMap<number, LeafId>): Promise<void>;
  /** Sets whole nodes to zeros. */
  setZeroNodes(first: number, nodes: number): Promise<void>;
  /**
   * What the base says of a node's leaves: undefined for zeros, which a leaf past the base's end and one whose length
   * a resize has changed are as well.
   */
  baseLeaves(node: number): Promise<readonly LeafId[]>;
  /** An object of the volume as far as it is set, whole as it may stand in a manifest. Building goes on afterwards. */
  checkpoint(): Promise<ObjectId>;
  /** The object of the volume. */
  finish(): Promise<ObjectId>;
}
