import { z } from 'zod';
import { LogkeepError } from '../../src/errors.ts';
import { escapeJson } from '../../src/escape.ts';
import type { RawEntry } from '../../src/json.ts';
import type { Cursor, Span } from '../../src/model.ts';
import { readChain } from '../../src/sources/chain.ts';
import { readEntries } from '../../src/sources/entries.ts';
import { idFlaw, isObject, rawText, timeFlaw } from '../../src/sources/entry.ts';
import type { Http } from '../../src/sources/http.ts';
import {
  createMeter,
  isRow,
  type Meter,
  type OpenOptions,
  type Reject,
  type Row,
  type Source,
  type Stream,
  type StreamSettings,
} from '../../src/sources/source.ts';
import { fingerprintOf, skewOf } from '../../src/sources/stream.ts';
import { apiUrl, secret, text } from '../../src/sources/values.ts';
import { tables } from './table.ts';

const settings = z.strictObject({
  url: apiUrl('https://toy.example').describe('Address of the API.'),
  token: secret('a toy token').describe('Token of the toy API.'),
  room: text('the name of a room').prefault('all').describe('Whose readings.'),
});

/** A third source, as small as one can be: nothing in src knows of it. */
export const toy: Source = {
  name: 'toy',
  settings,
  defaults: { retention: '1d', page_size: 50 },
  environment: {
    stream: 'toy.main',
    variables: [{ name: 'TOY_TOKEN', setting: 'token', required: true, help: 'token of the toy API' }],
  },
  secrets: ['token'],
  open,
};

function open(stream: StreamSettings, options: OpenOptions): Stream {
  const own = stream.own as z.output<typeof settings>;
  const { clock, http } = options;
  const credential = http.gate(`toy ${own.url}`, stream);
  const api: Parameters<Http['request']>[0] = {
    label: stream.id,
    credential,
    secrets: [own.token],
    authHint: 'check the token',
    maxBodyBytes: stream.maxBodyBytes,
    timeoutMs: stream.timeoutMs,
    retryMs: stream.retryMs,
    allowance: () => null,
    sense: () => null,
  };
  const request = (
    window: Span,
    cursor: Cursor | null,
    limit: number,
    turn: { signal: AbortSignal; meter: Meter; onWait?: (waitMs: number) => void },
  ) => {
    const url = new URL(`${own.url}/readings?from=${window.from}&to=${window.to}&limit=${limit}`);
    if (cursor !== null) url.searchParams.set('after', cursor);
    return http.request(
      api,
      {
        ...turn,
        method: 'GET',
        url,
        headers: { authorization: `Bearer ${own.token}` },
        hasCursor: cursor !== null,
      },
      (answer) => {
        const { envelope, entries } = readEntries(answer, ['readings'], null);
        if (entries === null) throw new LogkeepError('protocol', 'expected an array `readings`');
        return {
          entries,
          next: (envelope.more ?? null) as Cursor | null,
          dateMs: answer.dateMs,
          bytes: answer.bytes,
        };
      },
    );
  };
  const made = (entry: RawEntry): Row | Reject => {
    const value = (entry.value ?? {}) as { id?: unknown; at?: unknown };
    const reason = !isObject(entry.value)
      ? 'not_an_object'
      : (idFlaw(value.id) ?? timeFlaw(value.at, clock.now()));
    if (reason !== null) return { reason, timeMs: null, rawText: rawText(entry, options.redactor) };
    const raw = rawText(entry, options.redactor);
    const timeMs = value.at as number;
    const id = value.id as string;
    return {
      timeMs,
      key: `${id}:${timeMs}`,
      parts: () => ({ entry: [id.replaceAll('\0', ''), timeMs, escapeJson(raw)], shared: [] }),
      rawText: () => raw,
    };
  };
  return {
    id: stream.id,
    source: 'toy',
    fingerprint: fingerprintOf({ source: 'toy', url: own.url, room: own.room }),
    scope: { account: own.url, filters: own.room === 'all' ? {} : { room: [own.room] } },
    order: 'ascending',
    pageSize: stream.pageSize,
    cursorMaxAgeMs: null,
    tables,
    async *read(o) {
      const pages = readChain({
        label: stream.id,
        cursor: o.cursor,
        size: stream.pageSize,
        maxBodyBytes: stream.maxBodyBytes,
        timeoutFloor: null,
        believesEnd: (ageMs) => ageMs < 60_000,
        now: () => clock.now(),
        fetch: (cursor, size) => request(o.window, cursor, size, o),
        nothing: () => request({ from: 0, to: 1 }, null, 1, o),
        locate: async () => o.window.from,
        around: async function* () {},
      });
      for await (const { entries, next, dateMs, bytes } of pages) {
        const all = Array.from({ length: entries.length }, (_, index) => made(entries.raw(index)));
        yield {
          entries: all,
          next,
          dateMs,
          bytes,
          unknown: [],
          readTo: next === null ? o.window.to : (all.findLast(isRow)?.timeMs ?? null),
        };
      }
    },
    normalise: (json) => made({ value: JSON.parse(json), text: json, plain: false }),
    async probe(signal, meter = createMeter()) {
      const now = clock.now();
      const { dateMs } = await request({ from: now - 1_000, to: now }, null, 1, {
        signal,
        meter,
      });
      return { skewMs: skewOf(dateMs, clock.now()), quota: credential.quota() };
    },
    quota: () => credential.quota(),
  };
}
