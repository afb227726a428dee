import type { Ms } from '../../model.ts';
import type { Dice } from '../dice.ts';
import type { QstashStored } from '../qstash/ledger.ts';
import type { DatadogLogInput } from './ledger.ts';

const SERVICES = [
  { service: 'web-store', hosts: ['web-1', 'web-2', 'web-3'], source: 'nodejs' },
  { service: 'billing', hosts: ['billing-1'], source: 'java' },
  { service: 'mailer', hosts: ['worker-1', 'worker-2'], source: 'python' },
  { service: 'postgres', hosts: ['db-1'], source: 'postgresql' },
] as const;

const PATHS = ['/', '/cart', '/api/orders', '/api/orders/confirm', '/login', '/assets/app.js'] as const;
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  debug: ['cache hit', 'session refreshed', 'checkpoint complete: wrote 412 buffers'],
  info: ['order confirmed', 'payment captured', 'mail queued', 'connection received'],
  warn: ['slow query: 1204 ms', 'retrying upstream call', 'disk usage above 80 %'],
  error: ['unhandled rejection: connect ECONNREFUSED', 'payment declined by provider', 'deadlock detected'],
};
const HOUR_MS = 3_600_000;
const JOINED_SHARE = 0.15;

/** `logs` logs of a few services in [from, to); some tell of the QStash attempts among `entries`. */
export function writeDatadogHistory(
  dice: Dice,
  span: { readonly from: Ms; readonly to: Ms; readonly logs: number },
  entries: readonly QstashStored[],
): readonly DatadogLogInput[] {
  const attempts = entries.filter(
    ({ fields, timeMs }) => fields.state === 'ACTIVE' && timeMs >= span.from && timeMs < span.to - 1000,
  );
  const inputs: DatadogLogInput[] = [];
  let burstMs = 0;
  for (let n = 0; n < span.logs; n++) {
    const attempt = attempts.length > 0 && dice.chance(JOINED_SHARE) ? dice.pick(attempts) : null;
    const burst = burstMs > 0 && dice.chance(0.2);
    const atMs =
      attempt === null
        ? burst
          ? burstMs
          : dice.int(span.from, span.to - 1)
        : attempt.timeMs + dice.int(2, 900);
    burstMs = atMs;
    inputs.push(writeLog(dice, atMs, attempt));
  }
  return inputs.sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0));
}

function writeLog(dice: Dice, atMs: Ms, attempt: QstashStored | null): DatadogLogInput {
  const { service, hosts, source } = attempt === null ? dice.pick(SERVICES) : SERVICES[0];
  const roll = dice.next();
  const status = roll < 0.1 ? 'debug' : roll < 0.9 ? 'info' : roll < 0.97 ? 'warn' : 'error';
  const host = dice.pick(hosts);
  const tags = ['env:prod', `source:${source}`, `service:${service}`, `host:${host}`, 'team:shop'];
  if (dice.chance(0.3)) tags.push('canary', 'env:prod');
  const messageId = attempt === null ? null : `${attempt.fields.messageId}`;
  const text = dice.pick(TEXTS[status] as readonly string[]);
  // Binary ends up in log lines now and then; on the wire a NUL is an escape.
  const message = dice.chance(0.002)
    ? `unexpected byte \0 in header: ${text}`
    : messageId === null
      ? text
      : dice.chance(0.5)
        ? `qstash message ${messageId}: ${text}`
        : `handled a qstash delivery: ${text}`;
  const parts = [
    `"timestamp":"${new Date(atMs).toISOString()}"`,
    `"tags":${JSON.stringify(tags)}`,
    `"attributes":${attributesOf(dice, messageId)}`,
    `"message":${JSON.stringify(message)}`,
  ];
  if (!dice.chance(0.02)) parts.splice(2, 0, `"host":"${host}"`);
  if (!dice.chance(0.02)) parts.splice(2, 0, `"service":"${service}"`);
  return { content: `{${parts.join(',')}}`, status, atMs, intakeMs: atMs + lateness(dice) };
}

/** Trace ids are 64-bit integers on the wire, so the text is put together by hand. */
function attributesOf(dice: Dice, messageId: string | null): string {
  const traceId = dice.bytes(8).readBigUInt64BE();
  const spanId = dice.bytes(8).readBigUInt64BE();
  const http = {
    method: dice.pick(['GET', 'POST']),
    status_code: dice.pick([200, 200, 201, 304, 404, 500]),
    url_details: { path: dice.pick(PATHS) },
  };
  const parts = [
    `"dd":{"trace_id":${traceId},"span_id":${spanId}}`,
    `"http":${JSON.stringify(http)}`,
    `"duration":${dice.int(100_000, 900_000_000)}`,
    `"usr":{"id":"${dice.int(1, 5000)}","beta":${dice.chance(0.1)}}`,
  ];
  if (messageId !== null && !dice.chance(0.2)) {
    parts.push(`"upstash":{"message_id":"${messageId}","retried":${dice.int(0, 2)}}`);
  }
  return `{${parts.join(',')}}`;
}

/** Most logs are taken in within two seconds; a few come hours late or from clocks that run ahead. */
function lateness(dice: Dice): number {
  const roll = dice.next();
  if (roll < 0.002) return dice.int(HOUR_MS, 18 * HOUR_MS);
  if (roll < 0.003) return -dice.int(1000, 2 * HOUR_MS);
  return dice.int(0, 2000);
}
