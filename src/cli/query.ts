import pg from 'pg';
import { countText } from '../amounts.ts';
import { LogkeepError } from '../errors.ts';
import { withClient } from '../store/connection.ts';
import { asDatabaseError, mayPass } from '../store/database.ts';
import { answer } from '../store/portal.ts';
import { openReader } from '../store/reader.ts';
import { answerJson, answerTable, CELL_CHARACTERS, PORTION, TABLE_ROWS } from './answer.ts';
import type { CliContext, Run } from './command.ts';
import { withReadyDatabase } from './open.ts';
import { printable } from './table.ts';

/** `logkeep query`: one SQL statement in a read-only transaction; its answer as a table, or a JSON object a row. */
export const run: Run<'query'> = (options, context) =>
  withReadyDatabase(options, context, async ({ store: { pool }, url, isEmbedded }) => {
    const { stderr, signal } = context;
    const { sql, json } = options;
    const reader = isEmbedded ? await openReader(pool, url) : pool;
    try {
      await ask({ pool, reader, signal }, (client) =>
        json ? printJson(client, sql, context) : printTable(client, sql, context),
      );
      // Part of an answer must not pass for all of it.
      signal.throwIfAborted();
      return 0;
    } catch (error) {
      if (signal.aborted) {
        stderr.write(`logkeep: query: ${(signal.reason as Error).message}: the statement was cancelled\n`);
        return 1;
      }
      if (!(error instanceof pg.DatabaseError) || mayPass(error)) throw asDatabaseError('query', error);
      stderr.write(`logkeep: query: ${printable(refusalText(error, sql))}\n`);
      return 1;
    } finally {
      if (reader !== pool) await reader.end();
    }
  });

/**
 * Runs `work` on a connection of `reader` in a transaction that can only read, tables of `logkeep` found by their bare
 * names; cancelled by `signal`. What a read-only transaction lets a superuser do all the same (files of the server, other
 * sessions), a superuser's statement has no right to by accident: one that is made to can take the rights back, but for
 * the embedded server's, whose reader is a role of its own.
 */
async function ask(
  { pool, reader, signal }: { pool: pg.Pool; reader: pg.Pool; signal: AbortSignal },
  work: (client: pg.PoolClient) => Promise<void>,
): Promise<void> {
  await withClient(reader, async (client) => {
    await client.query('begin read only');
    const { rows } = await client.query<{ pid: number }>(
      `select pg_backend_pid() as pid,
        set_config('search_path', concat_ws(', ', 'logkeep', nullif(current_setting('search_path'), '')), true),
        case current_setting('is_superuser') when 'on' then set_config('role', 'pg_read_all_data', true) end`,
    );
    // From another connection, as this one is busy; one that fails leaves the statement to its end.
    const cancel = () => pool.query('select pg_cancel_backend($1)', [rows[0]?.pid]).catch(() => undefined);
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      await work(client);
      await client.query('rollback');
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  });
}

async function printTable(client: pg.PoolClient, sql: string, { stdout, stderr }: CliContext): Promise<void> {
  const table = await answerTable(client, sql, stdout.columns ?? null);
  stdout.write(table.text);
  const missing = [
    ...(table.isLonger ? [`only the first ${countText(TABLE_ROWS)} rows`] : []),
    ...(table.isCut ? [`only the first ${countText(CELL_CHARACTERS)} characters of a value`] : []),
  ];
  if (missing.length > 0) stderr.write(`${missing.join(', and ')}: --json prints all\n`);
}

function printJson(client: pg.PoolClient, sql: string, { stdout, signal }: CliContext): Promise<void> {
  return answer(client, sql, {
    portion: PORTION,
    take: (columns, rows) => {
      const twice = columns.find(({ name }, at) => columns.findIndex((one) => one.name === name) !== at);
      if (twice !== undefined) {
        throw new LogkeepError(
          'config',
          `query: ${JSON.stringify(twice.name)}: two columns have this name: expected another name for one of them, such as \`select a.id, b.id as b_id\``,
        );
      }
      if (rows.length > 0) stdout.write(rows.map((row) => `${answerJson(columns, row)}\n`).join(''));
      return !signal.aborted;
    },
  });
}

/** SQLSTATE of what a read-only transaction refuses. */
const READ_ONLY = '25006';
/** SQLSTATE of bad syntax, which several statements in one are too. */
const SYNTAX = '42601';

/** What Postgres said, where in the statement, its hint, and what to do. */
function refusalText(error: pg.DatabaseError, sql: string): string {
  const { message, position, detail, hint, code } = error;
  const parts = [
    `${message}${position === undefined ? '' : ` at ${placeOf(sql, Number(position))}`}`,
    ...[detail, hint].filter((text) => text !== undefined),
  ];
  if (code === READ_ONLY)
    parts.push('`logkeep query` only reads; `logkeep db` shows how to connect with psql');
  if (code === SYNTAX && position === undefined) parts.push('expected one statement at a time');
  return parts.join('; ');
}

/** `position` counts characters from 1, as Postgres does. */
function placeOf(sql: string, position: number): string {
  const lines = [...sql]
    .slice(0, position - 1)
    .join('')
    .split('\n');
  const column = [...(lines.at(-1) ?? '')].length + 1;
  return lines.length === 1 && !sql.includes('\n')
    ? `character ${column}`
    : `line ${lines.length}, character ${column}`;
}
