import pg from 'pg';
import { countText } from '../amounts.ts';
import { LogkeepError } from '../errors.ts';
import { withClient } from '../store/connection.ts';
import { asDatabaseError, mayPass } from '../store/database.ts';
import { type Answered, answer } from '../store/portal.ts';
import { answerJson, answerTable, CELL_CHARACTERS, PORTION, TABLE_ROWS } from './answer.ts';
import type { CliContext, Run } from './command.ts';
import { withReadyDatabase } from './open.ts';
import { noStatement } from './options.ts';
import { printable } from './table.ts';

/** `logkeep query`: one SQL statement in a read-only transaction; its answer as a table, or a JSON object a row. */
export const run: Run<'query'> = (options, context) =>
  withReadyDatabase(options, context, async ({ store }) => {
    const { stderr, signal } = context;
    const { sql, json } = options;
    try {
      const { command, hasColumns, isEmpty } = await ask(store.pool, signal, (client) =>
        json ? printJson(client, sql, context) : printTable(client, sql, context),
      );
      if (isEmpty) throw noStatement();
      if (!hasColumns) stderr.write(`${command}: there are no rows to print, and nothing was changed\n`);
      return 0;
    } catch (error) {
      if (signal.aborted) {
        stderr.write(`logkeep: query: ${(signal.reason as Error).message}: the statement was cancelled\n`);
        return 1;
      }
      if (!(error instanceof pg.DatabaseError) || mayPass(error)) throw asDatabaseError('query', error);
      stderr.write(`logkeep: query: ${printable(refusalText(error, sql))}\n`);
      return 1;
    }
  });

/** Runs `work` in a transaction that can only read, tables of `logkeep` found by their bare names; cancelled by `signal`. */
async function ask(
  pool: pg.Pool,
  signal: AbortSignal,
  work: (client: pg.PoolClient) => Promise<Answered>,
): Promise<Answered> {
  return withClient(pool, async (client) => {
    await client.query('begin read only');
    const { rows } = await client.query<{ pid: number }>(
      `select pg_backend_pid() as pid,
        set_config('search_path', concat_ws(', ', 'logkeep', nullif(current_setting('search_path'), '')), true)`,
    );
    // From another connection, as this one is busy; one that fails leaves the statement to its end.
    const cancel = () => pool.query('select pg_cancel_backend($1)', [rows[0]?.pid]).catch(() => undefined);
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const answered = await work(client);
      await client.query('rollback');
      return answered;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  });
}

async function printTable(
  client: pg.PoolClient,
  sql: string,
  { stdout, stderr }: CliContext,
): Promise<Answered> {
  const table = await answerTable(client, sql, stdout.columns ?? null);
  if (!table.hasColumns) return table;
  stdout.write(table.text);
  const missing = [
    ...(table.isLonger ? [`only the first ${countText(TABLE_ROWS)} rows`] : []),
    ...(table.isCut ? [`only the first ${countText(CELL_CHARACTERS)} characters of a value`] : []),
  ];
  if (missing.length > 0) stderr.write(`${missing.join(', and ')}: --json prints all\n`);
  return table;
}

function printJson(client: pg.PoolClient, sql: string, { stdout, signal }: CliContext): Promise<Answered> {
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
    parts.push('`logkeep query` only reads; `logkeep db` tells how to connect with psql');
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
