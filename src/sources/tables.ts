import type { Ms } from '../model.ts';

/** UTF-8 that lies in the answer it came with; to be written before that is let go. */
export interface Utf8 {
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
}

/** As `Utf8`, for one who fills it anew for each entry. */
export type Utf8Slot = { -readonly [Field in keyof Utf8]: Utf8[Field] };

/** Postgres types that a stage may use, and the JavaScript form of a value of each. */
export interface ColumnForms {
  text: string | Utf8;
  'text[]': readonly string[];
  /** ms since the epoch */
  timestamptz: Ms;
  /** 32 hex digits, lower case */
  uuid: string;
  /** the bytes, or where their standard base64 stands */
  bytea: Uint8Array | Utf8;
  int4: number;
  /** a safe integer or a bigint */
  int8: number | bigint;
  bool: boolean;
  /** JSON text, escaped for Postgres; sent as it is */
  jsonb: string | Utf8;
}
/** Name of a Postgres type that a stage may use. */
export type ColumnType = keyof ColumnForms;
/** A value on its way into a stage; null is SQL null. */
export type Value = ColumnForms[ColumnType] | null;

/** A column of a stage; its name is the one in the tables. */
export interface StageColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** True where a re-read of the same entry may bring another value (Datadog's raw id): not compared for twins. */
  readonly volatile?: boolean;
}

/** A temp table that one batch's rows are copied into. */
export interface Stage {
  readonly name: string;
  readonly columns: readonly StageColumn[];
  /**
   * Makes one row of all that a batch has under one key: changes `kept` by what `next` adds. The result must not
   * depend on the order, and folding the same once more must change nothing. Absent: the first of a key is kept.
   * What is folded outlives its page, so none of its values may be a place in the page's bytes (`Utf8`).
   */
  readonly fold?: (kept: Value[], next: readonly Value[]) => void;
}

/** One common table expression of the statement that loads a batch. */
export interface Merge {
  readonly name: string;
  readonly sql: string;
  /** As `sql` for a batch whose entries are all new, of which less need be asked. Absent: `sql`. */
  readonly allNew?: string;
}

/**
 * A source's tables, as data: the store copies the stages in and runs the merges, and knows no table by name.
 *
 * The merges are the common table expressions of one statement, run in the loading transaction, in which
 * `batch` is a one-row relation with `stream text` and `ingested_at timestamptz`, each stage is a relation
 * of its name, and `new_row` has one row for each entry that was really new.
 */
export interface SourceTables {
  /**
   * The first stage holds the entries; its first two columns are what tells them apart, an id and the time. The rest
   * hold what entries share: a column of the first must name it (a hash), since twins are compared by the first alone.
   */
  readonly stages: readonly Stage[];
  /** Tables of schema `logkeep` partitioned by UTC day of the entry's time. */
  readonly partitioned: readonly string[];
  readonly merges: readonly Merge[];
  /** The table that holds the entries: it has the first stage's columns, `stream` and `ingested_at`. */
  readonly entries: {
    readonly table: string;
    readonly time: string;
    /** SQL that makes of a row the key that the first part of a `Row` has. */
    readonly key: string;
    /** Columns that `new_row` has. */
    readonly newRow: readonly string[];
  };
  /**
   * SQL of a query that gives a row where the entry of `key` (its `stream`, its `id` as text and its `time`, which
   * the first part's key in a batch spells `id:ms`) is stored: its one column `whole` is false where a merge would
   * still change something about it.
   */
  readonly known: string;
  /**
   * How late an entry came: columns that `new_row` returns, of its event time and of when the API took it in. Without
   * `intake` only what a re-read brings in counts, by its age. Absent: nothing is kept.
   */
  readonly lateness?: { readonly event: string; readonly intake?: string };
}

/** What an entry adds to the stages. */
export interface RowParts {
  /** Its row of the first stage. */
  readonly entry: readonly Value[];
  /** What it shares with other entries, one for each of the other stages; null where it adds nothing. */
  readonly shared: readonly (Part | null)[];
}

/** A row of a stage that entries share. Of several with one key in a batch one row is made. */
export interface Part {
  readonly key: string;
  readonly values: readonly Value[];
  /** The batch that has taken this very part, left here by whoever stages it, so that its key is made but once. */
  takenBy?: object | null;
}
