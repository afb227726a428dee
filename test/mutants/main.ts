import { execFile } from 'node:child_process';
import { cp, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Table from 'cli-table3';
import { MUTANTS, type Mutant } from './list.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['src', 'jobs', 'test', 'migrations', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const LONGEST_MS = 300_000;
const run = promisify(execFile);

type Verdict = {
  readonly mutant: Mutant;
  readonly verdict: 'killed' | 'survived' | 'does not apply';
  readonly by: string;
  readonly ms: number;
};

/**
 * Applies each sabotage in turn to a copy of the tree and runs the tests that must notice it, those that should stay
 * green without it first. Names after the command choose mutants. Exits 1 if one survives or does not apply.
 */
async function main(names: readonly string[]): Promise<number> {
  const chosen = MUTANTS.filter(({ name }) => names.length === 0 || names.includes(name));
  const unknown = names.filter((name) => MUTANTS.every((mutant) => mutant.name !== name));
  if (unknown.length > 0) {
    process.stderr.write(
      `no such mutant: ${unknown.join(', ')}; expected one of ${MUTANTS.map(({ name }) => name).join(', ')}\n`,
    );
    return 2;
  }
  const tree = await mkdtemp(join(await realpath(tmpdir()), 'logkeep-mutants-'));
  try {
    for (const path of COPIED) await cp(join(ROOT, path), join(tree, path), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
    const sound = await runAllTests(tree, chosen);
    if (!sound.green) {
      process.stderr.write(
        `the tests fail without any mutant, so they say nothing of one:\n${sound.output}\n`,
      );
      return 1;
    }
    const verdicts: Verdict[] = [];
    for (const mutant of chosen) {
      const verdict = await judge(tree, mutant);
      verdicts.push(verdict);
      process.stderr.write(`${mutant.name}: ${verdict.verdict} in ${Math.round(verdict.ms / 1000)} s\n`);
    }
    return report(verdicts);
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

interface Outcome {
  readonly green: boolean;
  readonly output: string;
}

async function judge(tree: string, mutant: Mutant): Promise<Verdict> {
  const patch = join(ROOT, 'test/mutants', `${mutant.name}.patch`);
  const started = performance.now();
  const since = () => performance.now() - started;
  try {
    await run('git', ['apply', patch], { cwd: tree });
  } catch {
    return { mutant, verdict: 'does not apply', by: '', ms: since() };
  }
  try {
    for (const file of mutant.tests) {
      const { green } = await runTests(tree, [file], mutant.only);
      if (!green) return { mutant, verdict: 'killed', by: file, ms: since() };
    }
    return { mutant, verdict: 'survived', by: '', ms: since() };
  } finally {
    await run('git', ['apply', '-R', patch], { cwd: tree });
  }
}

/** All that the mutants are judged by, those of whole files at once. */
async function runAllTests(tree: string, mutants: readonly Mutant[]): Promise<Outcome> {
  for (const only of new Set(mutants.map((mutant) => mutant.only))) {
    const files = mutants.filter((mutant) => mutant.only === only).flatMap(({ tests }) => tests);
    const outcome = await runTests(tree, [...new Set(files)], only);
    if (!outcome.green) return outcome;
  }
  return { green: true, output: '' };
}

/** Whether the test files pass. A test that hangs is red like one that fails. */
async function runTests(tree: string, files: readonly string[], only: string | undefined): Promise<Outcome> {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const args = [
    vitest,
    'run',
    '--bail=1',
    '--testTimeout=30000',
    ...files,
    ...(only === undefined ? [] : ['-t', only]),
  ];
  try {
    await run(process.execPath, args, { cwd: tree, timeout: LONGEST_MS, maxBuffer: 64 * 1024 * 1024 });
    return { green: true, output: '' };
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return { green: false, output: `${stdout ?? ''}${stderr ?? ''}` || String(error) };
  }
}

function report(verdicts: readonly Verdict[]): number {
  const table = new Table({ head: ['mutant', 'sabotage', 'verdict', 'by', 's'], style: { head: [] } });
  for (const { mutant, verdict, by, ms } of verdicts) {
    table.push([mutant.name, mutant.what, verdict, by, (ms / 1000).toFixed(1)]);
  }
  const killed = verdicts.filter(({ verdict }) => verdict === 'killed').length;
  process.stdout.write(`${table.toString()}\n${killed} killed, ${verdicts.length - killed} survived\n`);
  return killed === verdicts.length ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
