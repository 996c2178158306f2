import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Interrupted } from './cli-error.ts';
import { watchSignals } from './signals.ts';

test('signals > the first asks for a clean end, the second ends with 130, and disposing lets go', () => {
  const emitter = new EventEmitter();
  const controller = new AbortController();
  const exits: number[] = [];
  const said: string[] = [];
  let ms = 5;
  const clock = { nowMs: () => ms, monotonicMs: () => ms, sleep: () => Promise.resolve() };
  const say = (text: string): unknown => said.push(text);
  const watch = watchSignals({ emitter, controller, clock, say, exit: (code) => exits.push(code) });

  emitter.emit('SIGTERM', 'SIGTERM');
  assert(controller.signal.reason instanceof Interrupted);
  assert.deepEqual(exits, []);
  assert.equal(said.length, 1);
  ms += 299;
  emitter.emit('SIGTERM', 'SIGTERM');
  assert.deepEqual(exits, [], 'the same Ctrl-C, passed on by a parent');
  ms += 1;
  emitter.emit('SIGINT', 'SIGINT');
  assert.deepEqual(exits, [130]);

  watch[Symbol.dispose]();
  assert.equal(emitter.listenerCount('SIGINT') + emitter.listenerCount('SIGTERM'), 0);
});
