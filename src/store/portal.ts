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

/** How a statement ended. */
export interface Answered {
  /** Postgres's word for what it did, such as `SELECT` or `SET`; null: not all was taken, or there was no statement. */
  readonly command: string | null;
  /** Whether the answer has columns. */
  readonly hasColumns: boolean;
  /** Whether the text holds nothing but space and comments. */
  readonly isEmpty: boolean;
}

/**
 * Runs `text` as it is, rows taken in portions as they come: none is kept. It must be one statement, of any kind,
 * without parameters. Throws pg's DatabaseError where Postgres refuses it (several statements too: `42601`), with the
 * transaction still to be ended.
 */
export async function answer(
  client: pg.PoolClient,
  text: string,
  { portion, take }: Taking,
): Promise<Answered> {
  const cursor = client.query(new RowCursor(text, [], AS_TEXT));
  for (;;) {
    const { rows, fields, command } = await cursor.next(portion);
    const isWhole = rows.length < portion;
    const hasColumns = fields.length > 0;
    let wanted = false;
    try {
      wanted = hasColumns && take(fields, rows);
    } finally {
      if (!wanted && !isWhole) await cursor.close();
    }
    if (!wanted || isWhole)
      return { command, hasColumns, isEmpty: isWhole && command === null && !hasColumns };
  }
}

const AS_TEXT = { rowMode: 'array', types: { getTypeParser: () => (text: string) => text } } as const;

/** A cursor that lives on when the statement is a `copy`, and fails. */
class RowCursor extends Cursor<TextRow> {
  #isCopy = false;

  async next(most: number) {
    const { promise, resolve, reject } = Promise.withResolvers<{
      readonly rows: readonly TextRow[];
      readonly fields: readonly Column[];
      readonly command: string | null;
    }>();
    this.read(most, (error, rows, result) => {
      // pg-cursor says null where there is no error.
      if (error) return reject(error);
      const fields = result.fields.map(({ name, dataTypeID }) => ({ name, type: dataTypeID }));
      resolve({ rows, fields, command: result.command });
    });
    const answered = await promise;
    if (!this.#isCopy) return answered;
    throw new LogkeepError('config', 'copy: expected a statement that answers with rows: use select');
  }

  handleCopyData(): void {
    this.#isCopy = true;
  }

  handleCopyInResponse(connection: { readonly sendCopyFail: (reason: string) => void }): void {
    connection.sendCopyFail('nothing is written here');
  }
}
