import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMountinfo } from './mountinfo.ts';

test('mounts are read from mountinfo, with blanks in paths and optional fields', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
    '37 35 8:1 / /ro ro,relatime shared:2 master:1 - ext4 /dev/sda1 ro',
    '38 35 8:2 / /bind ro - ext4 /dev/sda2 rw',
    'nonsense',
    '',
  ].join('\n');
  assert.deepEqual(parseMountinfo(text), [
    { id: '36', device: '98:0', mountPoint: '/mnt two', type: 'ext3', source: '/dev/root', writable: true },
    { id: '37', device: '8:1', mountPoint: '/ro', type: 'ext4', source: '/dev/sda1', writable: false },
    // A read-only bind of a file system that others write to.
    { id: '38', device: '8:2', mountPoint: '/bind', type: 'ext4', source: '/dev/sda2', writable: true },
  ]);
});
