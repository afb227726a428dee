import type { Ms } from '../../model.ts';
import type { Merge, Stage, StageColumn, Value } from '../tables.ts';
import type { SharedValue } from './request.ts';

/** What one entry says of its message, in the order of the stage. */
const COLUMNS = [
  { name: 'message_id', type: 'text' },
  { name: 'created_at', type: 'timestamptz' },
  { name: 'first_active_at', type: 'timestamptz' },
  { name: 'url', type: 'text' },
  { name: 'queue_name', type: 'text' },
  { name: 'schedule_id', type: 'text' },
  { name: 'topic_name', type: 'text' },
  { name: 'endpoint_name', type: 'text' },
  { name: 'labels', type: 'text[]' },
  { name: 'state', type: 'text' },
  { name: 'state_at', type: 'timestamptz' },
  { name: 'state_rank', type: 'int4' },
  { name: 'state_id', type: 'uuid' },
  { name: 'finished_at', type: 'timestamptz' },
  { name: 'last_error', type: 'text' },
  { name: 'error_at', type: 'timestamptz' },
  { name: 'error_rank', type: 'int4' },
  { name: 'error_id', type: 'uuid' },
  { name: 'last_response_status', type: 'int4' },
] as const satisfies readonly StageColumn[];

const NAMES = COLUMNS.map((column) => column.name);
const at = (name: (typeof NAMES)[number]) => NAMES.indexOf(name);
const MESSAGE_ID = at('message_id');
const CREATED_AT = at('created_at');
const FIRST_ACTIVE_AT = at('first_active_at');
const URL_COLUMN = at('url');
const LABELS = at('labels');
/** What the message takes from what was sent, in the order of `MessageFacts.shared`. */
const SHARED = [at('queue_name'), at('schedule_id'), at('topic_name'), at('endpoint_name'), LABELS];
/** Descriptions: should entries ever differ, the greatest value stays, in whatever order they come. */
const DESCRIPTIONS = [URL_COLUMN, ...SHARED.slice(0, 4)];
const STATE = at('state');
const STATE_END = at('finished_at');
const ERROR = at('last_error');
const ERROR_END = at('last_response_status');

/** Within one ms a message's entries go by rank; unknown states are 0. */
export const RANK: Readonly<Record<string, number>> = {
  __proto__: null as never,
  CREATED: 1,
  ACTIVE: 2,
  ERROR: 3,
  RETRY: 4,
  CANCEL_REQUESTED: 5,
  CANCELED: 6,
  CANCELLED: 6,
  FAILED: 7,
  DELIVERED: 8,
};

/** Greater wins among terminal states, as `logkeep.qstash_terminal` says too; 0 is open. */
const TERMINAL: Readonly<Record<string, number>> = {
  __proto__: null as never,
  CANCELED: 1,
  CANCELLED: 1,
  FAILED: 2,
  DELIVERED: 3,
};

/** What an entry's row says of its message. */
export interface MessageFacts {
  readonly messageId: string;
  readonly timeMs: Ms;
  /** 32 hex digits */
  readonly id: string;
  readonly rank: number;
  readonly state: string | null;
  readonly url: string | null;
  readonly error: string | null;
  readonly responseStatus: number | null;
  /** queue_name, schedule_id, topic_name, endpoint_name and labels. */
  readonly shared: readonly SharedValue[];
}

/** The message's row after this entry alone, written over `values`. */
export function messageValues(facts: MessageFacts, values: Value[] = NAMES.map(() => null)): Value[] {
  const { messageId, timeMs, id, rank, state, url, error, responseStatus, shared } = facts;
  const failed = error !== null;
  values[MESSAGE_ID] = messageId;
  values[CREATED_AT] = state === 'CREATED' ? timeMs : null;
  values[FIRST_ACTIVE_AT] = state === 'ACTIVE' ? timeMs : null;
  for (let at = 0; at < SHARED.length; at += 1) values[SHARED[at] as number] = shared[at] ?? null;
  values[URL_COLUMN] = url;
  values[STATE] = state;
  values[STATE + 1] = timeMs;
  values[STATE + 2] = rank;
  values[STATE + 3] = id;
  values[STATE_END] = terminalOf(state) > 0 ? timeMs : null;
  values[ERROR] = error;
  values[ERROR + 1] = failed ? timeMs : null;
  values[ERROR + 2] = failed ? rank : null;
  values[ERROR + 3] = failed ? id : null;
  values[ERROR_END] = failed ? responseStatus : null;
  return values;
}

/** A message's rows: of one batch they are folded here, with what is stored by the same rules in SQL. */
export const MESSAGE_STAGE: Stage = { name: 'stage_qstash_message', columns: COLUMNS, fold };

function fold(kept: Value[], next: readonly Value[]): void {
  for (let column = CREATED_AT; column <= FIRST_ACTIVE_AT; column += 1) {
    const a = kept[column] as Ms | null;
    const b = next[column] as Ms | null;
    if (a === null || (b !== null && b < a)) kept[column] = b;
  }
  for (let index = 0; index < DESCRIPTIONS.length; index += 1) {
    const column = DESCRIPTIONS[index] as number;
    const a = kept[column] as string | null;
    const b = next[column] as string | null;
    if (b !== null && (a === null || compareText(b, a) > 0)) kept[column] = b;
  }
  const labels = kept[LABELS] as readonly string[] | null;
  const more = next[LABELS] as readonly string[] | null;
  if (more !== null && (labels === null || compareTexts(more, labels) > 0)) kept[LABELS] = more;
  if (stateWins(next, kept)) copy(kept, next, STATE, STATE_END);
  if (errorWins(next, kept)) copy(kept, next, ERROR, ERROR_END);
}

function copy(to: Value[], from: readonly Value[], first: number, last: number): void {
  for (let column = first; column <= last; column++) to[column] = from[column] as Value;
}

/** Terminal beats open, the greater terminal the lesser, the earlier of one kind the later; open ones by time, rank, id. */
function stateWins(a: readonly Value[], b: readonly Value[]): boolean {
  const terminal = terminalOf(a[STATE] as string | null);
  const kinds = terminal - terminalOf(b[STATE] as string | null);
  if (kinds !== 0) return kinds > 0;
  const times = (a[STATE + 1] as Ms) - (b[STATE + 1] as Ms);
  if (times !== 0) return terminal > 0 ? times < 0 : times > 0;
  return compareRankAndId(a, b, STATE + 2) > 0;
}

function errorWins(a: readonly Value[], b: readonly Value[]): boolean {
  if (a[ERROR + 1] === null) return false;
  if (b[ERROR + 1] === null) return true;
  const times = (a[ERROR + 1] as Ms) - (b[ERROR + 1] as Ms);
  return times !== 0 ? times > 0 : compareRankAndId(a, b, ERROR + 2) > 0;
}

function compareRankAndId(a: readonly Value[], b: readonly Value[], rank: number): number {
  const ranks = (a[rank] as number) - (b[rank] as number);
  if (ranks !== 0) return ranks;
  const left = a[rank + 1] as string;
  const right = b[rank + 1] as string;
  return left < right ? -1 : left > right ? 1 : 0;
}

function terminalOf(state: string | null): number {
  return state === null ? 0 : (TERMINAL[state] ?? 0);
}

/** By bytes of UTF-8, as Postgres compares under collation C. */
function compareText(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function compareTexts(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compareText(a[i] as string, b[i] as string);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** As `logkeep.qstash_terminal` of the state; a function's text would be read anew at each place, for each batch. */
const terminalRank = (row: string) => `greatest(${row}.state_rank - ${RANK.CANCEL_REQUESTED}, 0)`;
const STATE_WINS = wins(terminalRank('excluded'), terminalRank('m'));
const ERROR_WINS = `(excluded.error_at is not null and (m.error_at is null
    or (excluded.error_at, excluded.error_rank, excluded.error_id) > (m.error_at, m.error_rank, m.error_id)))`;

function wins(e: string, m: string): string {
  return `(${e} > ${m} or ${e} = ${m} and case when ${e} > 0
    then (m.state_at, excluded.state_rank, excluded.state_id) > (excluded.state_at, m.state_rank, m.state_id)
    else (excluded.state_at, excluded.state_rank, excluded.state_id) > (m.state_at, m.state_rank, m.state_id) end)`;
}

const LEAST = NAMES.slice(CREATED_AT, FIRST_ACTIVE_AT + 1);
const GREATEST = NAMES.slice(FIRST_ACTIVE_AT + 1, STATE);

/** What becomes of a stored row `m` by a batch's row `excluded`. */
const UPDATE: readonly string[] = [
  ...LEAST.map((name) => `${name} = least(m.${name}, excluded.${name})`),
  ...GREATEST.map((name) => `${name} = greatest(m.${name} collate "C", excluded.${name})`),
  ...NAMES.slice(STATE, STATE_END + 1).map((name) => choice(STATE_WINS, name)),
  ...NAMES.slice(ERROR, ERROR_END + 1).map((name) => choice(ERROR_WINS, name)),
  'attempts = m.attempts + excluded.attempts',
];

/** Whether `UPDATE` changes anything: who wins differs from who is stored. */
const CHANGES: readonly string[] = [
  'excluded.attempts > 0',
  STATE_WINS,
  ERROR_WINS,
  ...LEAST.map((name) => beats(name, `excluded.${name} < m.${name}`)),
  ...GREATEST.map((name) => beats(name, `excluded.${name} > m.${name} collate "C"`)),
];

function choice(condition: string, name: string): string {
  return `${name} = case when ${condition} then excluded.${name} else m.${name} end`;
}

function beats(name: string, compared: string): string {
  return `(excluded.${name} is not null and (m.${name} is null or ${compared}))`;
}

/** In no order, as with `qstash_request`. */
const mergeMessages = (attempts: string) => `
  insert into logkeep.qstash_message as m (stream, ${NAMES.join(', ')}, attempts)
  select batch.stream, ${NAMES.map((name) => `s.${name}`).join(', ')}, coalesce(n.attempts, 0)
  from batch, stage_qstash_message s ${attempts} n using (message_id)
  on conflict (stream, message_id) do update set
    ${UPDATE.join(',\n    ')}
  where ${CHANGES.join('\n    or ')}`;

/**
 * Brings messages up to date: only those with entries that are really new, so that reading again writes nothing.
 * All but the attempts may be folded again without harm; attempts count new rows.
 */
export const MESSAGE_MERGE: Merge = {
  name: 'message',
  sql: mergeMessages(`join (
    select message_id, (count(*) filter (where state = 'ACTIVE'))::integer as attempts
    from new_row group by message_id)`),
  allNew: mergeMessages(`left join (
    select message_id, count(*)::integer as attempts
    from new_row where state = 'ACTIVE' group by message_id)`),
};
