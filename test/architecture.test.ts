import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { test } from 'node:test';
import { layers } from '../src/layers.ts';

const src = join(import.meta.dirname, '..', 'src');
const files = globSync('**/*.ts', { cwd: src }).filter((file) => file !== 'layers.ts');
const textOf = (file: string): string => readFileSync(join(src, file), 'utf8');
const folderOf = (file: string): string => file.split('/')[0] ?? '';
const rowOf = (folder: string): number => layers.findIndex((row) => row.includes(folder));

test('architecture > a folder imports only from lower rows, never sideways, never up', () => {
  assert(files.length > 0);
  // Static imports, re-exports, dynamic imports, and the entry files of workers.
  const statement = /(?:\bfrom\s+|\bimport\s*\(?\s*|\bnew URL\(\s*)'(?<path>\.{1,2}\/[^']+\.ts)'/g;
  for (const file of files) {
    assert(rowOf(folderOf(file)) >= 0, `src/${folderOf(file)} stands in no row of src/layers.ts`);
    for (const { groups } of textOf(file).matchAll(statement)) {
      const imported = relative(src, join(src, file, '..', groups?.['path'] ?? ''));
      const allowed = folderOf(imported) === folderOf(file) || rowOf(folderOf(imported)) < rowOf(folderOf(file));
      assert(allowed && !imported.startsWith('..'), `src/${file} must not import src/${imported}`);
    }
  }
});

test('architecture > foreign functions are called in kernel/ only', () => {
  for (const file of files) {
    assert(
      folderOf(file) === 'kernel' || !/from 'koffi'|import\('koffi'\)/.test(textOf(file)),
      `src/${file} imports koffi`,
    );
  }
});

test('architecture > files and folders are named after what they hold, and stay short', () => {
  const empty = new Set(['index', 'utils', 'util', 'helpers', 'helper', 'common', 'lib', 'types', 'misc', 'shared']);
  const repositoryIndex = 'repository/index/'; // Kopia's word for the table of contents: a noun here.
  for (const file of files) {
    const folders = file.replace(repositoryIndex, '').split('/').slice(0, -1);
    for (const name of [...folders, basename(file).split('.')[0] ?? '']) {
      assert(!empty.has(name), `src/${file}: "${name}" says nothing`);
    }
    assert(/^[a-z0-9-]+(\.(test|contract))?\.ts$/.test(basename(file)), `src/${file} is not in kebab-case`);
    assert(textOf(file).split('\n').length <= 401, `src/${file} has more than 400 lines`);
  }
});
