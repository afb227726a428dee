import type pg from 'pg';
import type { Ms } from '../model.ts';
import { inTransaction } from './connection.ts';
import { isoTime } from './coverage.ts';

/** An alert that is firing, as it is to be told. */
export interface Firing {
  readonly stream: string;
  readonly kind: string;
  readonly sentence: string;
  /** How long it must last before it is told. */
  readonly holdMs: number;
}

/** What one receiver is to be told now; whoever got it from `updateAlerts` alone may tell it for `CLAIM_MS`. */
export interface Due {
  readonly stream: string;
  readonly kind: string;
  readonly receiver: string;
  readonly sentence: string;
  readonly sinceMs: Ms;
  /** When it was over; null: it goes on. */
  readonly endedMs: Ms | null;
  readonly sends: number;
}

const CLAIM_MS = 60_000;
/** Trouble must be over for so long before it is said to be. */
const CALM_MS = 120_000;
const LONGEST_REPEAT_MS = 24 * 3_600_000;
const FIRST_RETRY_MS = 30_000;
const LONGEST_RETRY_MS = 15 * 60_000;
/** An end that could not be told for so long is old news; so is trouble of a stream that nobody watches any more. */
const FORGET_MS = 7 * 24 * 3_600_000;

/**
 * Brings the alerts of `streams` in line with what goes on, for each of `receivers`, and takes what is to be told
 * now: each piece once, however many processes ask at once.
 */
export function updateAlerts(
  pool: pg.Pool,
  ask: {
    readonly firing: readonly Firing[];
    readonly streams: readonly string[];
    readonly receivers: readonly string[];
    readonly repeatMs: number;
    readonly nowMs: Ms;
  },
): Promise<readonly Due[]> {
  const { firing, streams, receivers, repeatMs, nowMs } = ask;
  const now = isoTime(nowMs);
  const ours = [streams, receivers];
  return inTransaction(pool, async (client) => {
    // Trouble that came back before its end was told goes on where it was.
    await client.query(
      `insert into logkeep.alert as a (stream, kind, receiver, sentence, since, due_at)
      select stream, kind, receiver, sentence, $3, $3::timestamptz + hold_ms * interval '1 ms'
      from jsonb_to_recordset($1) as t (stream text, kind text, sentence text, hold_ms double precision),
        unnest($2::text[]) as receiver
      order by stream, kind, receiver
      on conflict (stream, kind, receiver) do update set sentence = excluded.sentence, ended_at = null,
        due_at = case when a.ended_at is null then a.due_at else ${nextRepeat('a.sent_at', 'a.sends - 1', '$4')} end`,
      [
        JSON.stringify(firing.map(({ holdMs, ...one }) => ({ ...one, hold_ms: holdMs }))),
        receivers,
        now,
        `${repeatMs} ms`,
      ],
    );
    const over = `a.stream = any($1) and a.receiver = any($2) and not exists (
      select from jsonb_to_recordset($3) as t (stream text, kind text) where t.stream = a.stream and t.kind = a.kind)`;
    const found = JSON.stringify(firing.map(({ stream, kind }) => ({ stream, kind })));
    await client.query(
      `delete from logkeep.alert a where (${over} and sends = 0 and (claimed_until is null or claimed_until <= $4))
        or coalesce(ended_at, due_at) < $4::timestamptz - interval '${FORGET_MS} ms'`,
      [...ours, found, now],
    );
    await client.query(
      `update logkeep.alert a set ended_at = $4, tries = 0, due_at = $4::timestamptz + interval '${CALM_MS} ms'
      where ended_at is null and sends > 0 and ${over}`,
      [...ours, found, now],
    );
    const { rows } = await client.query(
      `update logkeep.alert a set claimed_until = $3::timestamptz + interval '${CLAIM_MS} ms'
      from (select stream, kind, receiver from logkeep.alert
        where stream = any($1) and receiver = any($2) and due_at <= $3
          and (claimed_until is null or claimed_until <= $3)
        for update skip locked) due
      where a.stream = due.stream and a.kind = due.kind and a.receiver = due.receiver
      returning a.stream, a.kind, a.receiver, sentence, since, ended_at, sends`,
      [...ours, now],
    );
    return rows.map((row) => ({
      stream: row.stream,
      kind: row.kind,
      receiver: row.receiver,
      sentence: row.sentence,
      sinceMs: +row.since,
      endedMs: row.ended_at === null ? null : +row.ended_at,
      sends: row.sends,
    }));
  });
}

/** Records that a receiver was told: when to tell it again, or that the trouble is done with. */
export async function recordSent(pool: pg.Pool, due: Due, repeatMs: number, nowMs: Ms): Promise<void> {
  const key = [due.stream, due.kind, due.receiver];
  const now = isoTime(nowMs);
  if (due.endedMs !== null) {
    // If it came back while its end was being told, that is news again.
    await pool.query(
      `with back as (update logkeep.alert set sends = 0, tries = 0, error = null, since = $4, due_at = $4, claimed_until = null
        where stream = $1 and kind = $2 and receiver = $3 and ended_at is null)
      delete from logkeep.alert where stream = $1 and kind = $2 and receiver = $3 and ended_at is not null`,
      [...key, now],
    );
    return;
  }
  await pool.query(
    `update logkeep.alert set sends = sends + 1, sent_at = $4, tries = 0, error = null, claimed_until = null,
      due_at = case when ended_at is null then ${nextRepeat('$4::timestamptz', 'sends', '$5')} else due_at end
    where stream = $1 and kind = $2 and receiver = $3`,
    [...key, now, `${repeatMs} ms`],
  );
}

/** Records that a receiver could not be told, and when to try again; `error` must hold no address. */
export async function recordNotSent(pool: pg.Pool, due: Due, error: string, nowMs: Ms): Promise<void> {
  await pool.query(
    `update logkeep.alert set tries = tries + 1, error = $5, claimed_until = null,
      due_at = $4::timestamptz + least(interval '${FIRST_RETRY_MS} ms' * power(2, least(tries, 20)), interval '${LONGEST_RETRY_MS} ms')
    where stream = $1 and kind = $2 and receiver = $3`,
    [due.stream, due.kind, due.receiver, isoTime(nowMs), error],
  );
}

/** SQL for when something told `times` times before is told again: twice as long each time. */
function nextRepeat(told: string, times: string, repeat: string): string {
  return `${told} + least(${repeat}::interval * power(2, least(${times}, 20)), interval '${LONGEST_REPEAT_MS} ms')`;
}
