import { type EventEmitter, once } from 'node:events';
import type pg from 'pg';
import Cursor from 'pg-cursor';
import { LogkeepError } from '../errors.ts';

/** A column of an answer: its name and the number of its type in Postgres's catalogue. */
export interface Column {
  readonly name: string;
  readonly type: number;
}

/** Values as Postgres writes them; null: null. */
export type TextRow = readonly (string | null)[];

/** How an answer is taken. */
export interface Taking {
  /** So many rows are asked for at once, 1 or more. */
  readonly portion: number;
  /** Gets each portion, an empty one too, and says whether it wants the next. */
  readonly take: (columns: readonly Column[], rows: readonly TextRow[]) => boolean;
}

/**
 * Runs `text` as it is, rows taken in portions as they come: none is kept. It must be one statement that answers with
 * rows, without parameters: any other (`copy`, `set`, `do`, ...) is refused (`config`) and not run. Throws pg's
 * DatabaseError where Postgres refuses it (several statements too: `42601`), with the transaction still to be ended.
 */
export async function answer(client: pg.PoolClient, text: string, { portion, take }: Taking): Promise<void> {
  const { connection } = client as unknown as { readonly connection: EventEmitter };
  const cursor = client.query(new Cursor<TextRow>(text, [], AS_TEXT));
  if (!(await answersWithRows(connection))) {
    await cursor.close();
    throw new LogkeepError(
      'config',
      'query: the statement was not run: expected one that only reads and answers with rows, such as select; `logkeep db` shows how to connect with psql',
    );
  }
  for (;;) {
    const { columns, rows } = await next(cursor, portion);
    const isWhole = rows.length < portion;
    let wanted = false;
    try {
      wanted = take(columns, rows);
    } finally {
      if (!wanted && !isWhole) await cursor.close();
    }
    if (!wanted || isWhole) return;
  }
}

const AS_TEXT = { rowMode: 'array', types: { getTypeParser: () => (text: string) => text } } as const;

/** A server describes a statement before it runs it: `noData` where there will be no rows. Failures are the cursor's. */
async function answersWithRows(connection: EventEmitter): Promise<boolean> {
  const told = new AbortController();
  const events = ['rowDescription', 'noData', 'errorMessage', 'end'];
  const first = events.map((name) => once(connection, name, { signal: told.signal }).then(() => name));
  try {
    return (await Promise.race(first)) !== 'noData';
  } finally {
    told.abort();
  }
}

function next(
  cursor: Cursor<TextRow>,
  most: number,
): Promise<{ readonly columns: readonly Column[]; readonly rows: readonly TextRow[] }> {
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof next>>>();
  cursor.read(most, (error, rows, result) => {
    // pg-cursor says null where there is no error.
    if (error) return reject(error);
    resolve({ columns: result.fields.map(({ name, dataTypeID }) => ({ name, type: dataTypeID })), rows });
  });
  return promise;
}
