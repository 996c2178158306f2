import type { Dice } from './dice.ts';

/** Who writes to a volume, one operation after the other. */
export interface VolumeWriter {
  /** Opens or mounts what was attached. */
  begin(device: string, dice: Dice): Promise<void>;
  /** Lets go of the device, so that it can be detached; a second call does nothing. */
  end(): Promise<void>;
  /** Does one thing by chance. @returns what, for people */
  step(dice: Dice): Promise<string>;
  /** What was written is in the image when it resolves. */
  flush(): Promise<void>;
  /** Does one thing to the image itself, behind the device, which nobody has open. Undefined: it cannot. */
  readonly behind: ((image: string, snapshot: string | undefined, dice: Dice) => Promise<string>) | undefined;
  /** From here on a snapshot may be made at any moment, until the promise that it is has settled. */
  snapshotBegins(): void;
  snapshotEnded(): void;
  /** What is wrong with an image of a snapshot that was just made. Files are looked at in `backup-check.ts`. */
  faultOf(image: Buffer): string | undefined;
  /** The volume has another content than what was written. */
  replaced(image: Buffer): void;
  /** It ends elsewhere; what is new reads as zeros. */
  resized(sizeBytes: number): void;
}
