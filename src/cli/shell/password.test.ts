import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { hasCode } from '../../std/dray-error.ts';
import { type PasswordRequest, type PasswordSources, readPassword } from './password.ts';
import { promptSecret } from './prompt-secret.ts';

const nothing: PasswordSources = {
  file: undefined,
  command: undefined,
  environment: undefined,
  variable: 'DRAY_PASSWORD',
  prompt: undefined,
};

async function read(sources: Partial<PasswordSources>, request: Partial<PasswordRequest> = {}): Promise<string> {
  const signal = new AbortController().signal;
  return await readPassword({ ...nothing, ...sources }, { subject: 'password', isNew: false, signal, ...request });
}

function answers(...lines: string[]): {
  readonly prompt: (question: string) => Promise<string>;
  readonly asked: string[];
} {
  const asked: string[] = [];
  return { asked, prompt: async (question) => await Promise.resolve(lines[asked.push(question) - 1] ?? '') };
}

suite('password', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dray-password-'));
  });
  after(async () => await rm(folder, { recursive: true }));

  test('password > an option wins over the environment, the environment over a question', async () => {
    const file = join(folder, 'wins');
    await writeFile(file, 'from file');
    const { prompt, asked } = answers('typed');
    assert.equal(await read({ file, environment: 'from environment', prompt }), 'from file');
    assert.equal(await read({ command: 'echo from command', environment: 'e', prompt }), 'from command');
    assert.equal(await read({ environment: 'from environment', prompt }), 'from environment');
    assert.deepEqual(asked, []);
    assert.equal(await read({ prompt }), 'typed');
    assert.deepEqual(asked, ['Password: ']);
  });

  test('password > a file loses one trailing newline and nothing else', async () => {
    const file = join(folder, 'newline');
    const expected: readonly (readonly [string, string])[] = [
      ['secret\n', 'secret'],
      ['secret\r\n', 'secret'],
      ['secret\n\n', 'secret\n'],
      ['  two words \t\n', '  two words \t'],
      ['\uFEFFpäss', '\uFEFFpäss'],
    ];
    for (const [content, password] of expected) {
      await writeFile(file, content);
      assert.equal(await read({ file }), password);
    }
    assert.equal(await read({ environment: 'kept\n' }), 'kept\n');
  });

  test('password > what cannot be a password is refused, and no message quotes it', async () => {
    const file = join(folder, 'bad');
    await writeFile(file, Buffer.from('hush\xff', 'latin1'));
    const isSource = (error: unknown): boolean => {
      assert(hasCode(error, 'password-source'));
      assert(!`${error.message}${String(error.cause)}`.includes('hush'));
      return true;
    };
    await assert.rejects(read({ file }), isSource);
    await assert.rejects(read({ file: join(folder, 'absent') }), isSource);
    await assert.rejects(read({ command: 'echo hush; exit 3' }), isSource);
    await assert.rejects(read({ command: 'yes hush 2>/dev/null' }), isSource);
    const isMissing = (error: unknown): boolean => hasCode(error, 'password-missing');
    await assert.rejects(read({}), isMissing);
    await assert.rejects(read({ environment: '' }), isMissing);
    await assert.rejects(read({ command: 'true' }), isMissing);
    await assert.rejects(read({ file, command: 'true' }), (error) => hasCode(error, 'usage'));
  });

  test('password > a new one is typed twice, and a slip is refused', async () => {
    const same = answers('new', 'new');
    assert.equal(await read({ prompt: same.prompt }, { isNew: true }), 'new');
    assert.equal(same.asked.length, 2);
    const slip = answers('new', 'nwe');
    await assert.rejects(read({ prompt: slip.prompt }, { isNew: true }), (error) => hasCode(error, 'password-missing'));
  });

  test('password > a new one with white space at an end is refused, because kopia could not be told it', async () => {
    for (const environment of [' new', 'new\t', 'new\n', '\u00a0new', 'new\u0085', ' ']) {
      await assert.rejects(read({ environment }, { isNew: true }), (error) => hasCode(error, 'password-spaces'));
      assert.equal(await read({ environment }), environment);
    }
    assert.equal(await read({ environment: 'a new\tone' }, { isNew: true }), 'a new\tone');
  });

  test('password > an abort while the command runs surfaces as its reason', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    const reading = read({ command: 'exec cat /dev/zero' }, { signal: AbortSignal.any([controller.signal]) });
    controller.abort(reason);
    await assert.rejects(reading, (error) => error === reason);
  });
});

suite('prompt', () => {
  const ask = async (
    typed: string,
    signal = new AbortController().signal,
  ): Promise<{ readonly shown: string; readonly line: string }> => {
    const input = new PassThrough();
    let shown = '';
    const asking = promptSecret(
      'Password: ',
      { input, output: { write: (text: string) => (shown += text) } },
      { signal },
    );
    input.write(typed);
    const line = await asking;
    return { shown, line };
  };

  test('prompt > takes one line, obeys backspace, and shows none of it', async () => {
    assert.deepEqual(await ask('sesamx\u007fe\r'), { shown: 'Password: \n', line: 'sesame' });
  });

  test('prompt > Ctrl-C is an interruption', async () => {
    await assert.rejects(ask('half\u0003'), (error) => hasCode(error, 'interrupted'));
  });

  test('prompt > an abort ends the question', async () => {
    const controller = new AbortController();
    const asking = ask('never ended', controller.signal);
    controller.abort(new Error('stop'));
    await assert.rejects(asking, /stop/);
  });
});
