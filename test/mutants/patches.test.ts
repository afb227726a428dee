import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { MUTANTS } from './list.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test.each(MUTANTS.map(({ name }) => name))('the mutant %s still applies', (name) => {
  expect(() =>
    execFileSync('git', ['apply', '--check', `${HERE}${name}.patch`], { cwd: ROOT, stdio: 'pipe' }),
  ).not.toThrow();
});

test('every patch is a mutant of the list, and every test it names is there', () => {
  const patches = readdirSync(HERE).filter((file) => file.endsWith('.patch'));
  expect(patches.sort()).toEqual(MUTANTS.map(({ name }) => `${name}.patch`).sort());
  expect(MUTANTS.flatMap(({ tests }) => tests).filter((file) => !existsSync(`${ROOT}${file}`))).toEqual([]);
});
