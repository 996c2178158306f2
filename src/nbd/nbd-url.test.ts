import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hasCode } from '../std/dray-error.ts';
import { canonicalNbdUrl, isNbdUrl, parseNbdUrl } from './nbd-url.ts';

test('address of an export > says which server, which export, and whether TLS', () => {
  const tcp = { host: 'localhost', port: 10_809 };
  const cases = {
    'nbd://localhost': { server: tcp, exportName: '' },
    'nbd://LOCALHOST:10809/': { server: tcp, exportName: '' },
    'nbd:///vda': { server: tcp, exportName: 'vda' },
    'nbd://[fe80::1]:7/a/../b': { server: { host: 'fe80::1', port: 7 }, exportName: 'a/../b' },
    'nbd://h/%2Fa%20%C3%A9+': { server: { host: 'h', port: 10_809 }, exportName: '/a é+' },
    'nbds://h/x?tls-certificates=/etc/pki%20/x': {
      server: { host: 'h', port: 10_809 },
      exportName: 'x',
      tls: { certificates: '/etc/pki /x' },
    },
    'nbd+unix:///x?socket=/run/%3f': { server: { socketPath: '/run/?' }, exportName: 'x' },
    'nbds+unix://?socket=/s&tls-hostname=vm': { server: { socketPath: '/s' }, exportName: '', tls: { hostname: 'vm' } },
  };
  for (const [text, parsed] of Object.entries(cases)) assert.deepEqual(parseNbdUrl(text), parsed, text);
});

test('address of an export > in one way of writing is the same address, without what only says how to trust', () => {
  const cases = {
    'NBD://Host:10809/x': 'nbd://host/x',
    'nbd://[::1]': 'nbd://[::1]/',
    'nbds://h:1/a%2fb%20?tls-certificates=/secret': 'nbds://h:1/a/b%20',
    'nbd+unix:///?socket=/run/a%26b': 'nbd+unix:///?socket=/run/a%26b',
  };
  for (const [text, canonical] of Object.entries(cases)) {
    assert.equal(canonicalNbdUrl(parseNbdUrl(text)), canonical);
    assert.equal(canonicalNbdUrl(parseNbdUrl(canonical)), canonical);
  }
});

test('address of an export > what is not understood is refused, not left out', () => {
  const refused = [
    'nbd:/x',
    'nbd://h:0/x',
    'nbd://h:65536/x',
    'nbd://a:b:c/x',
    'nbd://h/%',
    'nbd://h/%ff',
    'nbd://h/a%00',
    'nbd://h/x#part',
    'nbd://h/x?socket=/s',
    'nbd://h/x?tls-certificates=/etc',
    'nbds://h/x?tls-psk-file=/etc/keys',
    'nbds://h/x?tls-hostname=a&tls-hostname=b',
    'nbd+unix:///x',
    'nbd+unix:///x?socket=relative',
    'nbd+unix://h/x?socket=/s',
    'nbd+vsock://2/x',
    `nbd://h/${'x'.repeat(4097)}`,
  ];
  for (const text of refused) {
    assert.ok(isNbdUrl(text));
    assert.throws(
      () => parseNbdUrl(text),
      (error) => hasCode(error, 'nbd-url'),
      text,
    );
  }
});

test('address of an export > a password is refused and not repeated', () => {
  assert.throws(
    () => parseNbdUrl('nbd://user:hunter2@h/x'),
    (error) => error instanceof Error && !error.message.includes('hunter2') && /users/.test(error.message),
  );
});

test('address of an export > files are none', () => {
  for (const path of ['disk.img', '/dev/nbd0', './nbd://x', 'nbd', '/nbd:']) assert.ok(!isNbdUrl(path), path);
});
