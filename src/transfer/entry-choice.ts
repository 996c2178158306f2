/** Which entries of a tree are wanted: what `--include` takes, or everything, but nothing that `--exclude` takes. */
import { matchPath, type PathPattern } from '../std/path-patterns.ts';

/** `look`: not itself, but something below it may be wanted. */
export type Choice = 'take' | 'look' | 'skip';

export class EntryChoice {
  readonly #include: readonly PathPattern[];
  readonly #exclude: readonly PathPattern[];

  /** Patterns that take back and those that are empty only matter beside others: without `include` all is wanted. */
  constructor({
    include,
    exclude,
  }: {
    readonly include: readonly PathPattern[];
    readonly exclude: readonly PathPattern[];
  }) {
    this.#include = include;
    this.#exclude = exclude;
  }

  /** Whether the root is wanted for itself. */
  get takesAll(): boolean {
    return this.#include.length === 0;
  }

  /**
   * @param path the names from the root on
   * @param inside true when the entry's folder was taken: then everything in it is, unless it is excluded
   */
  of(path: readonly string[], { inside, isFolder }: { readonly inside: boolean; readonly isFolder: boolean }): Choice {
    if (this.#exclude.length > 0 && matchPath(this.#exclude, path, { isFolder }) === 'taken') return 'skip';
    if (this.takesAll) return 'take';
    const match = matchPath(this.#include, path, { isFolder });
    if (match === 'taken' || (inside && match === undefined)) return 'take';
    return isFolder ? 'look' : 'skip';
  }
}
