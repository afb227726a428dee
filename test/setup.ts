import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { folderInMemory, hasRoomInMemory } from './in-memory.ts';
import { findServer, sweep, type TestServer } from './server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgres: {
      /** Answers with the server's url, and its name in `x-server`; the first request starts the server. */
      readonly door: string;
      /** Every database of this run begins with it. */
      readonly prefix: string;
    };
  }
}

/** Several times what the temporary folders of a run hold at most. */
const ENOUGH_BYTES = 8 * 1024 ** 3;

/**
 * One Postgres for the whole run, started when a test first asks for it, gone at the end; a folder in which the
 * programs that tests start keep what Node compiled of them, so that each pays for its loading only; and one in memory,
 * if there is enough, for whatever tests put into temporary folders.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const prefix = `logkeep_test_${randomBytes(4).toString('hex')}`;
  const mine = `logkeep-test-${process.pid}-`;
  await sweep();
  const memory = hasRoomInMemory(ENOUGH_BYTES) ? folderInMemory(mine) : null;
  if (memory !== null) {
    chmodSync(memory, 0o1777);
    process.env.TMPDIR = memory;
  }
  const compiled = mkdtempSync(join(tmpdir(), mine));
  process.env.LOGKEEP_TEST_COMPILED = compiled;
  let found: Promise<TestServer> | null = null;
  const door = createServer((_request, response) => {
    found ??= findServer(process.env).then((server) => {
      process.stdout.write(`postgres: ${server.name}\n`);
      return server;
    });
    found.then(
      (server) => response.setHeader('x-server', encodeURIComponent(server.name)).end(server.url),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  const { port } = door.address() as AddressInfo;
  project.provide('postgres', { door: `http://127.0.0.1:${port}/`, prefix });
  return async () => {
    door.closeAllConnections();
    await new Promise((resolve) => door.close(resolve));
    try {
      const server = await found?.catch(() => null);
      if (server?.name === 'DATABASE_URL') await dropAll(server.url, prefix);
      await server?.stop();
    } finally {
      for (const folder of [compiled, memory ?? compiled]) rmSync(folder, { recursive: true, force: true });
    }
  };
}

/** A server that stays must not keep our databases. */
async function dropAll(url: string, prefix: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ datname: string }>(
      'select datname from pg_database where starts_with(datname, $1)',
      [prefix],
    );
    for (const { datname } of rows) await client.query(`drop database if exists "${datname}" with (force)`);
  } finally {
    await client.end();
  }
}
