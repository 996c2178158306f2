/**
 * When maintenance is due and what it has done: the JSON of the blob `kopia.maintenance` (Kopia
 * `maintenance_schedule.go`). The history decides what may be deleted, so every member that this program does not know
 * (other tasks, other facts of a run) is kept word for word. A schedule is immutable; what changes it makes another.
 */
import * as v from 'valibot';

import { checkJson, goBoolean, goObject, goTime, jsonField } from '../repository/manifest/json-field.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { formatGoTime, parseGoTime, type Nanoseconds } from '../std/go-time.ts';
import { isJsonObject, JsonError, jsonObject, parseJson } from '../std/lossless-json.ts';
import type { JsonObject, JsonValue } from '../std/lossless-json.ts';
import { stringifyJson } from '../std/write-json.ts';

/** The tasks that this program runs or looks at. */
export type TaskName =
  | 'snapshot-gc'
  | 'quick-delete-blobs'
  | 'full-delete-blobs'
  | 'quick-rewrite-contents'
  | 'full-rewrite-contents'
  | 'full-drop-deleted-content'
  | 'index-compaction'
  | 'extend-blob-retention-time'
  | 'cleanup-logs'
  | 'advance-epoch'
  | 'delete-superseded-epoch-indexes'
  | 'cleanup-epoch-markers'
  | 'generate-epoch-range-index'
  | 'compact-single-epoch';

/** What is looked at of a run. */
export interface TaskRun {
  readonly start: Nanoseconds;
  readonly end: Nanoseconds;
  readonly success: boolean;
}

/** A run as it goes into the history. */
export interface RunRecord {
  readonly start: Nanoseconds;
  readonly end: Nanoseconds;
  /** Why it failed; undefined when it did not. */
  readonly error: string | undefined;
  /** What was done, in Kopia's words; undefined leaves it out. */
  readonly extra: { readonly kind: string; readonly data: JsonObject | null } | undefined;
}

/** Runs that are kept of each task. */
export const runsMax = 50;
const zeroTime = '0001-01-01T00:00:00Z';
/** Go's zero time: long past. */
export const goZeroTime: Nanoseconds = parseGoTime(zeroTime)!;

const goTimeOrZero = v.optional(goTime, zeroTime);
const runSchema = goObject({
  start: goTimeOrZero,
  end: goTimeOrZero,
  success: goBoolean,
});
const timesSchema = goObject({
  nextFullMaintenance: goTimeOrZero,
  nextQuickMaintenance: goTimeOrZero,
});
const what = 'maintenance schedule';

export class Schedule {
  readonly nextFull: Nanoseconds;
  readonly nextQuick: Nanoseconds;
  readonly #json: JsonObject;
  readonly #runs: JsonObject;

  private constructor(json: JsonObject) {
    this.#json = json;
    const times = checkJson(timesSchema, json, what);
    this.nextFull = times.nextFullMaintenance;
    this.nextQuick = times.nextQuickMaintenance;
    const runs = jsonField(json, 'runs') ?? {};
    if (!isJsonObject(runs)) throw new RepositoryError('corrupt', `${what}: malformed at runs`);
    this.#runs = runs;
    for (const task of Object.keys(runs)) this.#decode(task);
  }

  /** That of a repository that was never maintained: everything is due. */
  static empty(): Schedule {
    return new Schedule(jsonObject({}));
  }

  /** @throws {RepositoryError} `corrupt`: a history that is not understood whole is not relied on */
  static parse(text: string): Schedule {
    let json: JsonValue;
    try {
      json = parseJson(text);
    } catch (cause) {
      if (!(cause instanceof JsonError)) throw cause;
      throw new RepositoryError('corrupt', `${what}: malformed JSON`, { cause });
    }
    if (!isJsonObject(json)) throw new RepositoryError('corrupt', `${what}: is no object`);
    return new Schedule(json);
  }

  /** Of one task, in the order of the history, which is newest first as Kopia writes it. */
  runs(task: TaskName): readonly TaskRun[] {
    return this.#decode(task);
  }

  withNext(next: { readonly full?: Nanoseconds; readonly quick?: Nanoseconds }): Schedule {
    let json = this.#json;
    if (next.full !== undefined) json = withField(json, 'nextFullMaintenance', formatGoTime(next.full));
    if (next.quick !== undefined) json = withField(json, 'nextQuickMaintenance', formatGoTime(next.quick));
    return new Schedule(json);
  }

  /** One more run, the newest; the oldest beyond 50 go. */
  withRun(task: TaskName, { start, end, error, extra }: RunRecord): Schedule {
    const run = jsonObject({
      start: formatGoTime(start),
      end: formatGoTime(end),
      success: error === undefined ? true : undefined,
      error,
      extra: extra === undefined ? undefined : [jsonObject({ kind: extra.kind, data: extra.data })],
    });
    const runs = [run, ...this.#rawRuns(task)].slice(0, runsMax);
    return new Schedule(withField(this.#json, 'runs', jsonObject({ ...this.#runs, [task]: runs })));
  }

  /** As Kopia reads it. Members stand in Go's order when they are all new. */
  encode(): string {
    const first = jsonObject({
      nextFullMaintenance: formatGoTime(this.nextFull),
      nextQuickMaintenance: formatGoTime(this.nextQuick),
      runs: this.#runs,
    });
    const known = new Set(Object.keys(first).map((key) => key.toLowerCase()));
    const others = Object.entries(this.#json).filter(([key]) => !known.has(key.toLowerCase()));
    return stringifyJson(jsonObject({ ...first, ...Object.fromEntries(others) }));
  }

  #decode(task: string): TaskRun[] {
    return this.#rawRuns(task).map((run) => checkJson(runSchema, run, `${what}, ${task}`));
  }

  #rawRuns(task: string): readonly JsonValue[] {
    const runs = Object.hasOwn(this.#runs, task) ? (this.#runs[task] ?? []) : [];
    if (!Array.isArray(runs)) throw new RepositoryError('corrupt', `${what}: malformed at runs.${task}`);
    return runs as readonly JsonValue[];
  }
}

function withField(object: JsonObject, name: string, value: JsonValue): JsonObject {
  const others = Object.entries(object).filter(([key]) => key.toLowerCase() !== name.toLowerCase());
  return jsonObject({ ...Object.fromEntries(others), [name]: value });
}
