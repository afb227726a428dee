import type { ColumnType, Generated } from 'kysely';

/** A point in time: read as Date, written as Date or ISO text. */
export type Time = ColumnType<Date, Date | string, Date | string>;

/** A process of `logkeep serve`. */
export interface Process {
  holder: string;
  version: string;
  started_at: Generated<Date>;
  alive_until: Time;
}

/** Trouble, and what one receiver was told of it. */
export interface Alert {
  stream: string;
  kind: string;
  receiver: string;
  sentence: string;
  since: Time;
  ended_at: Time | null;
  sends: Generated<number>;
  sent_at: Time | null;
  tries: Generated<number>;
  due_at: Time;
  claimed_until: Time | null;
  error: string | null;
}
