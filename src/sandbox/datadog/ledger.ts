import type { Ms } from '../../model.ts';
import { createDice, mix32 } from '../dice.ts';
import { rawMembers } from '../rawjson.ts';
import { createShelf, type Shelf, type StoredEntry } from '../shelf.ts';
import type { DatadogBehaviour } from './behaviour.ts';
import { decodeLogId, encodeInnerId, encodeLogId, type LogIdParts } from './id.ts';

/** A log for the Datadog stand-in: either `log` or `content`. */
export interface DatadogLogInput {
  /** The whole log in v1's form (`id`, `content`), or its JSON text, which v1 sends to the byte. */
  readonly log?: string | Readonly<Record<string, unknown>>;
  /** v1's `content`, or its JSON text, which both APIs send to the byte; the id is made here. */
  readonly content?: string | Readonly<Record<string, unknown>>;
  /** The whole log in v2's form, sent to the byte; default: made of v1's members, to the byte. */
  readonly textV2?: string;
  /** Severity, which only v2 shows; default `info`. */
  readonly status?: string;
  /** Event time by which windows find it; default the id's, then the timestamp's, then the clock. */
  readonly atMs?: Ms;
  /** Default 0 to 2000 ms after its time. */
  readonly intakeMs?: Ms;
  /** Signed 32-bit order within its ms. */
  readonly tie?: number;
  /** Default: its intake and a lateness by the seed. */
  readonly visibleAtMs?: Ms;
  /** Default `main`. */
  readonly index?: string;
  /** Default `indexes`; v1 shows no other. */
  readonly tier?: 'indexes' | 'flex' | 'online-archives';
}

/** A log in its place: `(timeMs, tie, inner)` orders all. */
export interface DatadogStored extends StoredEntry {
  /** The raw id; empty where the text has none. */
  readonly id: string;
  /** The part of the id that stays; the raw id where it is of no known layout. */
  readonly inner: string;
  readonly tie: number;
  readonly intakeMs: Ms;
  readonly status: string;
  readonly index: string;
  readonly tier: string;
  /** The log's JSON text as v2 sends it, to the byte. */
  readonly textV2: string;
  /** Raw ids that it had before storage was compacted. */
  readonly formerIds: readonly string[];
}

/** All logs of the Datadog stand-in. */
export interface DatadogLedger {
  readonly shelf: Shelf<DatadogStored>;
  add(inputs: readonly DatadogLogInput[], nowMs: Ms): void;
  /** Rewrites storage: raw ids of layouts 2 and 3 change, inner ids and order stay. */
  compact(): void;
  /** The log that has this raw id now, or null. */
  find(id: string): DatadogStored | null;
}

class Log implements DatadogStored {
  readonly timeMs: Ms;
  readonly visibleAtMs: Ms;
  readonly inner: string;
  readonly tie: number;
  readonly intakeMs: Ms;
  readonly status: string;
  readonly index: string;
  readonly tier: string;
  readonly formerIds: string[] = [];
  id: string;
  text: string;
  #textV2: string | undefined;

  constructor(parts: Omit<DatadogStored, 'textV2' | 'formerIds'>, textV2: string | undefined) {
    this.timeMs = parts.timeMs;
    this.visibleAtMs = parts.visibleAtMs;
    this.inner = parts.inner;
    this.tie = parts.tie;
    this.intakeMs = parts.intakeMs;
    this.status = parts.status;
    this.index = parts.index;
    this.tier = parts.tier;
    this.id = parts.id;
    this.text = parts.text;
    this.#textV2 = textV2;
  }

  get textV2(): string {
    this.#textV2 ??= toV2(this.text, this.status);
    return this.#textV2;
  }

  /** Gives the log another raw id, in both texts. */
  rename(id: string): void {
    if (id === this.id) return;
    this.formerIds.push(this.id);
    const v2 = this.#textV2;
    this.text = replaceId(this.text, id);
    this.#textV2 = v2 === undefined ? undefined : replaceId(v2, id);
    this.id = id;
  }
}

/** An empty ledger. */
export function createDatadogLedger(behaviour: DatadogBehaviour, seed: number): DatadogLedger {
  const shelf = createShelf<Log>(compareLogs);
  const dice = createDice(seed ^ 0x0dd);
  const ids = new Map<string, Log>();
  let fragment = dice.uuid();
  let count = 0;

  const place = (input: DatadogLogInput, nowMs: Ms): Log => {
    const n = count++;
    const whole = input.log ?? {};
    const given = typeof whole === 'string' ? whole : JSON.stringify(whole);
    const members = input.log === undefined ? null : rawMembers(given);
    const givenId = members === null ? null : textOf(members.find(({ key }) => key === 'id')?.text);
    const content =
      input.log === undefined
        ? typeof input.content === 'string'
          ? input.content
          : JSON.stringify(input.content ?? {})
        : (members?.find(({ key }) => key === 'content')?.text ?? '{}');
    const decoded = givenId === null ? null : decodeLogId(givenId);
    const timeMs = input.atMs ?? decoded?.eventMs ?? timestampOf(content) ?? nowMs;
    const intakeMs = input.intakeMs ?? timeMs + Math.floor((mix32(n, seed ^ 0x1a7e) / 4294967296) * 2000);
    const tie = input.tie ?? decoded?.tie ?? tieOf(n);
    const made = givenId === null && input.log === undefined;
    const parts: LogIdParts = {
      layout: behaviour.idLayout,
      eventMs: timeMs,
      tie,
      inner: encodeInnerId(Math.max(0, intakeMs), dice.bytes(12)),
      fragment,
      row: n % 4294967296,
    };
    const id = made ? encodeLogId(parts) : (givenId ?? '');
    const { minMs, maxMs } = behaviour.lateness;
    const lateness = minMs + Math.floor((mix32(n, seed) / 4294967296) * (maxMs - minMs));
    return new Log(
      {
        id,
        inner: made ? parts.inner : (decoded?.inner ?? (id || parts.inner)),
        tie,
        timeMs,
        intakeMs,
        visibleAtMs: input.visibleAtMs ?? intakeMs + lateness,
        status: input.status ?? 'info',
        index: input.index ?? 'main',
        tier: input.tier ?? 'indexes',
        text: made ? `{"id":"${id}","content":${withStatus(content, input.status)}}` : given,
      },
      input.textV2,
    );
  };
  const withStatus = (content: string, status = 'info'): string =>
    behaviour.v1Status && content.startsWith('{') && rawMembers(content)?.every(({ key }) => key !== 'status')
      ? `{"status":${JSON.stringify(status)}${content === '{}' ? '' : ','}${content.slice(1)}`
      : content;
  const tieOf = (n: number): number => {
    if (behaviour.ties === 'random') return mix32(n, seed ^ 0x71e) | 0;
    return behaviour.ties === 'added' ? n : -n;
  };

  return {
    shelf,
    find: (id) => ids.get(id) ?? null,
    add(inputs, nowMs) {
      const logs = inputs.map((input) => place(input, nowMs));
      for (const log of logs) ids.set(log.id, log);
      shelf.add(logs);
    },
    compact() {
      fragment = dice.uuid();
      let row = 0;
      ids.clear();
      for (const log of shelf.all()) {
        const parts = decodeLogId(log.id);
        // Layouts 0 and 1 have no place for a fragment: their ids come out the same.
        if (parts !== null) log.rename(encodeLogId({ ...parts, fragment, row: row++ }));
        ids.set(log.id, log);
      }
    },
  };
}

/** The order in which Datadog sorts: event time, tie-break, then (never needed there) the inner id. */
export function compareLogs(
  a: Pick<DatadogStored, 'timeMs' | 'tie' | 'inner'>,
  b: Pick<DatadogStored, 'timeMs' | 'tie' | 'inner'>,
): number {
  return a.timeMs - b.timeMs || a.tie - b.tie || (a.inner < b.inner ? -1 : a.inner > b.inner ? 1 : 0);
}

function timestampOf(content: string): Ms | null {
  const text = textOf(rawMembers(content)?.find(({ key }) => key === 'timestamp')?.text);
  const ms = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) || ms < 0 ? null : ms;
}

function textOf(raw: string | undefined): string | null {
  if (raw === undefined || !raw.startsWith('"')) return null;
  const value: unknown = JSON.parse(raw);
  return typeof value === 'string' ? value : null;
}

/** The v2 form of a v1 log, each member's text kept to the byte. */
function toV2(text: string, status: string): string {
  const members = rawMembers(text) ?? [];
  const content = members.find(({ key }) => key === 'content')?.text;
  const inside = content === undefined ? [] : (rawMembers(content) ?? []);
  const attributes = inside.map(({ key, text: value }) => `${JSON.stringify(key)}:${value}`);
  if (inside.every(({ key }) => key !== 'status')) attributes.unshift(`"status":${JSON.stringify(status)}`);
  const parts = [`"attributes":{${attributes.join(',')}}`, '"type":"log"'];
  for (const { key, text: value } of members) {
    if (key !== 'content') parts.unshift(`${JSON.stringify(key)}:${value}`);
  }
  return `{${parts.join(',')}}`;
}

function replaceId(text: string, id: string): string {
  const member = rawMembers(text)?.find(({ key }) => key === 'id');
  return member === undefined ? text : `${text.slice(0, member.start)}"${id}"${text.slice(member.end)}`;
}
