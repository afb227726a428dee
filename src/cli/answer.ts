import pg from 'pg';
import { parseExactly } from '../json.ts';
import { answer, type Column, type TextRow } from '../store/portal.ts';
import { fittingText, printable } from './table.ts';

/** Of Postgres's catalogue. */
const OID = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  jsonb: 3802,
  textArray: 1009,
};

/** Types that stand at the right of a column. */
const NUMBERS: ReadonlySet<number> = new Set([
  OID.int2,
  OID.int4,
  OID.int8,
  OID.oid,
  OID.float4,
  OID.float8,
  OID.numeric,
]);

/** A table is laid out whole, so it has an end. */
export const TABLE_ROWS = 1_000;
/** What is longer makes every line of a table as long. */
export const CELL_CHARACTERS = 1_000;
/** Rows that are asked for, and held, at once. */
export const PORTION = 200;

/** An answer as a table. */
export interface AnswerTable {
  readonly text: string;
  /** Whether there are more than its TABLE_ROWS rows. */
  readonly isLonger: boolean;
  /** Whether values were cut to CELL_CHARACTERS. */
  readonly isCut: boolean;
}

/**
 * Runs one statement and lays its first rows out as a table, numbers at the right, or as blocks where that is wider
 * than `width`. Throws as `answer`.
 */
export async function answerTable(
  client: pg.PoolClient,
  sql: string,
  width: number | null = null,
): Promise<AnswerTable> {
  let columns: readonly Column[] = [];
  const rows: TextRow[] = [];
  let isCut = false;
  const cellOf = (cell: string | null) => {
    if (cell === null || cell.length <= CELL_CHARACTERS) return cell;
    isCut = true;
    return `${cell.slice(0, CELL_CHARACTERS)}...`;
  };
  await answer(client, sql, {
    portion: PORTION,
    take: (head, portion) => {
      columns = head;
      for (const row of portion) rows.push(row.map(cellOf));
      // One more than is shown tells whether there are more.
      return rows.length <= TABLE_ROWS;
    },
  });
  const right = columns.flatMap(({ type }, column) => (NUMBERS.has(type) ? [column] : []));
  const head = columns.map(({ name }) => printable(name));
  const text = fittingText(head, rows.slice(0, TABLE_ROWS), { right, width });
  return { text, isLonger: rows.length > TABLE_ROWS, isCut };
}

/**
 * A row as one JSON object, on a line, with nothing rounded: bigint, numeric and what no double holds are text, times
 * are ISO 8601 with every digit, and other types are as Postgres writes them.
 */
export function answerJson(columns: readonly Column[], row: TextRow): string {
  return JSON.stringify(
    Object.fromEntries(columns.map(({ name, type }, at) => [name, jsonValue(type, row[at] ?? null)])),
  );
}

type Read = (text: string) => unknown;

const READ: ReadonlyMap<number, Read> = new Map<number, Read>([
  [OID.bool, (text) => text === 't'],
  [OID.int2, Number],
  [OID.int4, Number],
  [OID.oid, Number],
  [OID.float4, finite],
  [OID.float8, finite],
  [OID.json, parseExactly],
  [OID.jsonb, parseExactly],
  [OID.timestamp, isoTime],
  [OID.timestamptz, isoTime],
]);

/** Arrays, and the type of what is in them; those of other types stay text. */
const ELEMENT: ReadonlyMap<number, number> = new Map([
  [199, OID.json],
  [1000, OID.bool],
  [1005, OID.int2],
  [1007, OID.int4],
  [1009, OID.text],
  [1015, OID.text],
  [1016, OID.int8],
  [1021, OID.float4],
  [1022, OID.float8],
  [1028, OID.oid],
  [1115, OID.timestamp],
  [1185, OID.timestamptz],
  [1231, OID.numeric],
  [3807, OID.jsonb],
]);

/** An array as pg reads one of text. */
type Texts = readonly (string | null | Texts)[];

const readTexts: (text: string) => Texts = pg.types.getTypeParser(OID.textArray);

function jsonValue(type: number, text: string | null): unknown {
  if (text === null) return null;
  const element = ELEMENT.get(type);
  if (element !== undefined) return elementsOf(element, readTexts(text));
  const read = READ.get(type);
  return read === undefined ? text : read(text);
}

function elementsOf(type: number, texts: Texts): readonly unknown[] {
  return texts.map((one) =>
    Array.isArray(one) ? elementsOf(type, one) : jsonValue(type, one as string | null),
  );
}

/** JSON has no NaN and no infinity. */
function finite(text: string): unknown {
  const value = Number(text);
  return Number.isFinite(value) ? value : text;
}

const TIME = /^(\d{4,6}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:([+-]\d\d)(:\d\d)?)?$/;

/** `infinity` and the years before our era stay as they are. */
function isoTime(text: string): string {
  return text.replace(TIME, (_, day: string, time: string, hours = '', minutes = ':00') => {
    const zone = hours === '' ? '' : `${hours}${minutes}`;
    return `${day}T${time}${zone.replace('+00:00', 'Z')}`;
  });
}
