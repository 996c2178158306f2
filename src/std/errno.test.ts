import assert from 'node:assert/strict';
import { getSystemErrorMap } from 'node:util';
import { test } from 'node:test';
import { DrayError } from './dray-error.ts';
import { errnoName, errnoOf, nameErrno } from './errno.ts';

/** As Node makes it. */
function systemError(number: number): Error {
  const name = getSystemErrorMap().get(-number)?.[0] ?? `Unknown system error -${number}`;
  const words = getSystemErrorMap().get(-number)?.[1] ?? `Unknown system error -${number}`;
  return Object.assign(new Error(`${name}: ${words}, write`), { errno: -number, code: name, syscall: 'write' });
}

test('what the system refuses > has its name, also where Node has none for it', () => {
  const expected: readonly (readonly [number, string])[] = [
    [28, 'ENOSPC'],
    [122, 'EDQUOT'],
    [116, 'ESTALE'],
    [117, 'EUCLEAN'],
    [74, 'EBADMSG'],
  ];
  for (const [number, name] of expected) {
    assert.equal(errnoName(number), name);
    const error = systemError(number);
    assert.equal(errnoOf(error), name);
    // As it arrives from another thread.
    assert.equal(errnoOf(new DrayError((error as Error & { code: string }).code, error.message)), name);
  }
  assert.equal(errnoOf(systemError(131)), 'E131', 'a refusal, whatever it means');
  assert.equal(errnoOf(Object.assign(new Error('clone'), { errno: 'EDQUOT', code: 'kernel-no-space' })), 'EDQUOT');
});

test('what the system refuses > is no failure of our own', () => {
  for (const error of [new Error('no'), new DrayError('pool-io', 'no'), 'EIO', undefined]) {
    assert.equal(errnoOf(error), undefined);
  }
});

test('what the system refuses > is told in words, also where Node has none for it', () => {
  assert.equal(nameErrno(systemError(122).message), 'EDQUOT: the quota is used up, write');
  assert.equal(nameErrno('fdatasync: Unknown system error -117'), 'fdatasync: EUCLEAN: the file system is damaged');
  for (const message of [systemError(28).message, systemError(131).message]) assert.equal(nameErrno(message), message);
});
