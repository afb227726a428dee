import fc from 'fast-check';
import type { Ms } from '../../src/model.ts';
import { encodeInnerId, encodeLogId } from '../../src/sandbox/datadog/id.ts';
import type { DatadogLogInput } from '../../src/sandbox/datadog/ledger.ts';
import type { QstashEntryInput } from '../../src/sandbox/qstash/ledger.ts';
import type { RejectReason } from '../../src/sources/source.ts';
import { hostileJson, hostileNumber, hostileString, nested, objectText } from '../hostile.ts';

/** Why an entry is there, and so what must become of it: a row, or quarantine for this reason. */
export type Fate = 'row' | RejectReason;

/** What an entry is made of, but for its place in time. */
export interface Draft {
  readonly fate: Fate;
  /** The same identity with other content, right after it. */
  readonly twin: boolean;
  /** Members beside those that make its identity: names and values as JSON. */
  readonly members: readonly (readonly [name: string, value: string])[];
  /** Values of the members that a fate is about. */
  readonly oddTime: string;
  readonly oddId: string;
  readonly state: string;
  readonly undecodable: boolean;
  readonly severity: string;
  /** Lateness beyond what settling waits for, in ms. */
  readonly lateMs: number;
}

type Name = 'qstash' | 'datadog';

const REQUEST = [
  ['"method"', '"POST"'],
  ['"header"', '{"Content-Type":["application/json"],"Authorization":["Bearer tok-17","x"]}'],
  ['"header"', '{"Cookie":["a=1; b=2"],"X-Null":null}'],
  ['"body"', '"eyJhIjoxfQ=="'],
  ['"body"', '"not base64!"'],
  ['"body"', '"QUJD\\nRA"'],
  ['"body"', '"REDACTED:9f86d081884c7d65"'],
  ['"responseBody"', '"AAEC/w=="'],
  ['"maxRetries"', '3'],
  ['"labels"', '["a","a"]'],
] as const;
const QSTASH_NAMES = ['nextDeliveryTime', 'error', 'responseStatus', 'header', 'body', 'responseBody'].concat(
  ['responseHeaders', 'method', 'maxRetries', 'callerIp', 'host', 'path', 'duration', 'labels', 'label'],
  ['queueName', 'timeout', 'callbackHeaders', 'retryDelayExpr', 'parallelism', 'brandNew', '__proto__'],
);
const DATADOG_NAMES = ['host', 'service', 'tags', 'attributes', 'status', 'brandNew', '__proto__'];
const LOG = [
  ['"attributes"', '{"dd":{"trace_id":12345678901234567890},"n":-0,"big":1e400,"n2":[1.50]}'],
  ['"tags"', '["source:go","env:prod","env:prod","bare"]'],
  ['"host"', '"web-1"'],
] as const;
const STATES = ['CREATED', 'ACTIVE', 'RETRY', 'ERROR', 'DELIVERED', 'FAILED', 'CANCELED', 'PAUSED'];

const rarely = (weight: number) =>
  fc.oneof({ weight: 100 - weight, arbitrary: fc.constant(false) }, { weight, arbitrary: fc.constant(true) });

/** Drafts of one source, most of them ordinary. */
export function drafts(name: Name): fc.Arbitrary<Draft> {
  const names = name === 'qstash' ? QSTASH_NAMES : DATADOG_NAMES;
  const usual = name === 'qstash' ? REQUEST : LOG;
  const hostile = fc.tuple(
    fc.constantFrom(...names).map((text) => JSON.stringify(text)),
    hostileJson,
  );
  const deep = fc.constantFrom(3, 600, 10_000).map((depth) => ['"deep"', nested(depth)] as const);
  const repeated = fc
    .tuple(hostileNumber, hostileString)
    .map(([first, second]) => [['"again"', first] as const, ['"again"', second] as const]);
  const member = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...usual).map((one) => [one]) },
    { weight: 5, arbitrary: hostile.map((one) => [one]) },
    { weight: 1, arbitrary: repeated },
    { weight: 1, arbitrary: deep.map((one) => [one]) },
  );
  return fc.record({
    fate: fc.oneof(
      { weight: 20, arbitrary: fc.constant<Fate>('row') },
      {
        weight: 1,
        arbitrary: fc.constantFrom<Fate>('no_id', 'no_time', 'time_out_of_bounds', 'not_an_object'),
      },
    ),
    twin: rarely(8),
    // No member twice: what that says is the business of `again` alone.
    members: fc.array(member, { maxLength: 4 }).map((lists) => {
      const seen = new Set<string>();
      return lists
        .filter(([first]) => first !== undefined && !seen.has(first[0]) && seen.add(first[0]))
        .flat();
    }),
    oddTime: fc.constantFrom('null', '"soon"', 'true', '{}', '"2026-13-45T00:00:00.000Z"'),
    oddId: fc.constantFrom('null', '""', '17', '["a"]'),
    state: fc.oneof(
      fc.constantFrom(...STATES).map((state) => JSON.stringify(state)),
      hostileString,
    ),
    undecodable: rarely(6),
    severity: fc.constantFrom('info', 'error', 'warn'),
    lateMs: fc.oneof(
      { weight: 9, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 30 * 60_000 }) },
    ),
  });
}

/** An entry's texts: one, or two that are twins. `slot` marks them, and is found again in whatever becomes of them. */
export interface Made<Input> {
  readonly slot: number;
  readonly fate: Fate;
  readonly late: boolean;
  readonly inputs: readonly Input[];
}

/** What `markOf` finds in an entry's JSON text: unescaped, whatever else the entry holds. */
export function markOf(text: string): number {
  return Number(/slot-(\d+)-/.exec(text)?.[1] ?? Number.NaN);
}

export function makeQstash(slot: number, draft: Draft, timeMs: Ms): Made<QstashEntryInput> {
  const { fate } = draft;
  const mark = `slot-${slot}-`;
  const time = { no_time: draft.oddTime, time_out_of_bounds: '631152000000' }[fate as string] ?? `${timeMs}`;
  const text = (extra: string) =>
    fate === 'not_an_object'
      ? `["${mark}",${draft.oddTime}]`
      : objectText([
          ['"time"', time],
          ['"messageId"', fate === 'no_id' ? draft.oddId : `"msg_${slot}"`],
          ['"state"', draft.state],
          ['"url"', `"https://example.com/${mark}"`],
          ...draft.members,
          ...(extra === '' ? [] : [['"flavour"', extra] as const]),
        ]);
  const visibleAtMs = timeMs + 500 + draft.lateMs;
  const texts = draft.twin && fate === 'row' ? [text('1'), text('"other"')] : [text('')];
  return {
    slot,
    fate,
    late: draft.lateMs > 0,
    inputs: texts.map((entry) => ({ entry, atMs: timeMs, visibleAtMs })),
  };
}

export function makeDatadog(
  slot: number,
  draft: Draft,
  timeMs: Ms,
  layout: 0 | 1 | 2 | 3,
): Made<DatadogLogInput> {
  const { fate } = draft;
  const mark = `slot-${slot}-`;
  const inner = encodeInnerId(timeMs + 100, Buffer.from(`entry-${slot}`.padEnd(12, '.').slice(0, 12)));
  const decodable = encodeLogId({ layout, eventMs: timeMs, tie: (slot * 7919) % 1000, inner, row: slot });
  const id = fate === 'no_id' ? draft.oddId : JSON.stringify(draft.undecodable ? `raw-${slot}` : decodable);
  const stamp =
    fate === 'no_time'
      ? draft.oddTime
      : JSON.stringify(new Date(fate === 'time_out_of_bounds' ? 631_152_000_000 : timeMs).toISOString());
  const text = (extra: string) =>
    fate === 'not_an_object'
      ? `["${mark}",${draft.oddTime}]`
      : objectText([
          ['"id"', id],
          [
            '"content"',
            objectText([
              ['"timestamp"', stamp],
              ['"message"', `"${mark} told"`],
              ...draft.members,
              ...(extra === '' ? [] : [['"flavour"', extra] as const]),
            ]),
          ],
        ]);
  const twins = draft.twin && fate === 'row';
  const texts = twins ? [text('1'), text('"other"')] : [text('')];
  const visibleAtMs = timeMs + 2_000 + draft.lateMs;
  return {
    slot,
    fate,
    late: draft.lateMs > 0,
    inputs: texts.map((log) => ({
      log,
      ...(fate === 'not_an_object' ? { textV2: log } : {}),
      atMs: timeMs,
      tie: (slot * 7919) % 1000,
      status: draft.severity,
      visibleAtMs,
    })),
  };
}
