import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasCode } from '../../std/dray-error.ts';
import { findProxy, type ProxyVariables } from './proxy.ts';

const server = { host: 's3.example', port: 443, tls: {} };
const found = (variables: ProxyVariables, address = server): string | undefined =>
  findProxy(address, variables)?.description;

describe('which proxy', () => {
  test('the one for what the server speaks, upper case first, empty for none', () => {
    const both = { HTTPS_PROXY: 'http://a:1', https_proxy: 'http://b:2', HTTP_PROXY: 'http://c:3' };
    assert.equal(found(both), 'the proxy http://a:1 (HTTPS_PROXY)');
    assert.equal(found({ ...both, HTTPS_PROXY: '' }), 'the proxy http://b:2 (https_proxy)');
    assert.equal(found({ HTTP_PROXY: 'http://c:3', ALL_PROXY: 'http://d:4' }), undefined);
    assert.equal(findProxy({ host: 'h', port: 80 }, both)?.description, 'the proxy http://c:3 (HTTP_PROXY)');
  });

  test('its port is that of what it speaks itself, and http:// goes without saying', () => {
    const at = (HTTPS_PROXY: string) => {
      const { host, port, tls } = findProxy(server, { HTTPS_PROXY })!;
      return { host, port, secure: tls !== undefined };
    };
    assert.deepEqual(at('proxy.example:3128'), { host: 'proxy.example', port: 3128, secure: false });
    assert.deepEqual(at('http://proxy.example/'), { host: 'proxy.example', port: 80, secure: false });
    assert.deepEqual(at('https://[::1]'), { host: '::1', port: 443, secure: true });
  });

  test('its user and password are decoded, and not in its description', () => {
    const { authorization, description } = findProxy(server, { HTTPS_PROXY: 'http://me:p%40%C3%A4:ss@proxy:1' })!;
    assert.equal(authorization, `Basic ${Buffer.from('me:p@ä:ss').toString('base64')}`);
    assert.equal(description, 'the proxy http://proxy:1 (HTTPS_PROXY)');
    assert.equal(findProxy(server, { HTTPS_PROXY: 'http://proxy:1' })?.authorization, undefined);
  });

  for (const wrong of [
    'http://',
    'socks5://secret@proxy:1',
    'http://secret:%zz@proxy',
    'http://secret@proxy:99999',
    'file:///secret',
  ]) {
    test(`${wrong.split('secret').join('…')} is refused without repeating it`, () => {
      assert.throws(
        () => findProxy(server, { HTTPS_PROXY: wrong }),
        (error: Error) =>
          hasCode(error, 'blob-proxy') &&
          !`${error.stack}`.includes('secret') &&
          error.message.startsWith('HTTPS_PROXY '),
      );
    });
  }
});

describe('NO_PROXY', () => {
  const isDirect = (list: string, host: string, port = 443): boolean =>
    found({ HTTPS_PROXY: 'http://p:1', no_proxy: list }, { host, port, tls: {} }) === undefined;

  // As in golang.org/x/net/http/httpproxy.
  for (const [list, host, direct] of [
    ['*', 's3.example', true],
    ['example', 's3.example', true],
    ['example', 'example', true],
    ['example', 'notexample', false],
    ['.example', 's3.example', true],
    ['.example', 'example', false],
    ['*.example', 's3.example', true],
    ['*.example', 'example', false],
    ['a.b, EXAMPLE', 'S3.Example', true],
    ['example:443', 's3.example', true],
    ['example:444', 's3.example', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.3:444', '10.1.2.3', false],
    ['10.0.0.0/8', '10.9.9.9', true],
    ['10.0.0.0/8', '11.9.9.9', false],
    ['10.0.0.0/33,10.0.0.0/x,/,:,[', '10.9.9.9', false],
    ['fd00::/8', 'fd12::1', true],
    ['[fd12::1]:443', 'fd12::1', true],
    ['fd12::1', 'fd12::2', false],
    ['1.2.3', '41.2.3', false],
  ] as const) {
    test(`"${list}" ${direct ? 'takes out' : 'says nothing of'} ${host}`, () => {
      assert.equal(isDirect(list, host), direct);
    });
  }

  test('this machine is never reached through a proxy', () => {
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) assert.ok(isDirect('', host), host);
  });
});
