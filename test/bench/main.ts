import { createHash } from 'node:crypto';
import { cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { type BenchServer, describeServer, openBenchServer } from './database.ts';
import { measureIndexes } from './indexes.ts';
import { measureMemory } from './memory.ts';
import type { SourceName } from './pages.ts';
import { openStand, type Run, runOnce, type Stand, warmUp } from './run.ts';
import { measureServe, PARTS, type Part } from './serve/all.ts';
import { summarise } from './summary.ts';

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '200000' },
    runs: { type: 'string', default: '3' },
    source: { type: 'string', multiple: true, default: ['qstash', 'datadog'] },
    memory: { type: 'boolean', default: false },
    indexes: { type: 'boolean', default: false },
    serve: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [...PARTS] },
    profile: { type: 'string' },
  },
});
const entries = count('entries', values.entries);
const runs = count('runs', values.runs);
const sources = values.source.map(sourceNamed);
const parts = values.only.map(partNamed);

print({
  kind: 'machine',
  cores: cpus().length,
  cpu: cpus()[0]?.model.trim(),
  memory_mb: Math.round(totalmem() / 1048576),
  node: process.version,
  load: loadavg().map((load) => Number(load.toFixed(2))),
});
const servers: BenchServer[] = [];
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(
    signal,
    () => void Promise.allSettled(servers.map((open) => open.close())).finally(() => process.exit(1)),
  );
}
const server = await openServer();
try {
  const database = await server.create('empty');
  print({ kind: 'postgres', ...(await describeServer(database.client)) });
  await database.drop();
  if (values.memory) {
    for (const source of sources)
      for await (const line of measureMemory(server, source, entries, runs)) print(line);
  } else if (values.indexes) {
    for (const source of sources)
      for await (const line of measureIndexes(server, source, entries, runs)) print(line);
  } else if (values.serve) await measureServe({ server, openAnother: openServer }, { parts, sources }, print);
  else await measureSpeed();
} finally {
  await server.close();
}

async function openServer(): Promise<BenchServer> {
  const opened = await openBenchServer();
  servers.push(opened);
  return opened;
}

async function measureSpeed(): Promise<void> {
  const stands: Stand[] = [];
  try {
    for (const source of sources) {
      const stand = await openStand(source, entries);
      stands.push(stand);
      const { served } = stand;
      print({
        kind: 'data',
        source,
        entries: served.entries,
        pages: served.pages,
        bytes_per_entry: Math.round(served.bytes / served.entries),
      });
    }
    for (const stand of stands) await warmUp(server, stand);
    const done: Run[] = [];
    for (let number = 1; number <= runs; number++) {
      for (const stand of stands) {
        const run = await runOnce(server, stand, {
          number,
          yardstickMs: yardstick(),
          profile: values.profile ?? null,
        });
        done.push(run);
        print({ kind: 'run', ...run });
      }
    }
    for (const source of sources) {
      for (const line of summarise(done.filter((run) => run.source === source))) {
        print({ kind: 'median', source, ...line });
      }
    }
  } finally {
    for (const stand of stands) await stand.close();
  }
}

/** A fixed piece of work, in ms: where it takes longer, the machine was busy or slow. */
function yardstick(): number {
  const block = Buffer.alloc(1048576, 1);
  const startedAt = performance.now();
  for (let n = 0; n < 256; n++) createHash('sha256').update(block).digest();
  return Math.round(performance.now() - startedAt);
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function count(name: string, text: string): number {
  const number = Number(text.replaceAll('_', ''));
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new Error(`--${name} ${text}: expected a whole number above 0`);
}

function sourceNamed(name: string): SourceName {
  if (name === 'qstash' || name === 'datadog') return name;
  throw new Error(`--source ${name}: expected qstash or datadog`);
}

function partNamed(name: string): Part {
  const part = PARTS.find((known) => known === name);
  if (part !== undefined) return part;
  throw new Error(`--only ${name}: expected one of ${PARTS.join(', ')}`);
}
