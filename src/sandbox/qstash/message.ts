import { createHash } from 'node:crypto';
import type { Ms } from '../../model.ts';
import type { Dice } from '../dice.ts';
import type { QstashBehaviour } from './behaviour.ts';

interface Target {
  readonly host: string;
  readonly path: string;
}

/** A message of the history: what all its entries share. */
export interface Message {
  readonly createdMs: Ms;
  readonly maxRetries: number;
  /** Fields of every entry but time and state. */
  readonly shared: Readonly<Record<string, unknown>>;
  /** What an ERROR entry adds, without the duration. */
  failure(dice: Dice): Readonly<Record<string, unknown>>;
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const DESTINATIONS = [
  { host: 'shop.example.com', path: '/api/orders/confirm', event: 'order.confirmed' },
  { host: 'shop.example.com', path: '/api/inventory/sync', event: 'inventory.changed' },
  { host: 'billing.example.com', path: '/hooks/invoice', event: 'invoice.finalised' },
  { host: 'mail.example.com', path: '/send', event: 'mail.requested' },
  { host: 'media.example.com', path: '/thumbnails', event: 'image.uploaded' },
] as const;

const GROUP = {
  name: 'order-events',
  endpoints: [
    { name: 'warehouse', host: 'warehouse.example.com', path: '/qstash' },
    { name: 'analytics', host: 'analytics.example.com', path: '/collect' },
  ],
} as const;

const SCHEDULES = ['scd_6Xq3vC9bT1nightly', 'scd_7Pd2kL4mW8hourly', 'scd_5Zr8sJ3hN6report'] as const;
const QUEUES = ['emails', 'exports'] as const;
const LABELS = ['checkout', 'nightly', 'tenant-42', 'beta'] as const;

const FAILURES = [
  { status: 500, text: '{"error":"internal"}', type: 'application/json' },
  { status: 503, text: '<html><body>upstream unavailable</body></html>', type: 'text/html' },
  { status: 429, text: 'slow down', type: 'text/plain' },
  { status: 404, text: 'no such route', type: 'text/plain' },
] as const;

const CALLBACK = { host: 'shop.example.com', path: '/api/callback' } as const;
const FAILURE_CALLBACK = { host: 'shop.example.com', path: '/api/failed' } as const;

/**
 * What one publication at `createdMs` makes: a message, or one for each endpoint of a URL group. A schedule's
 * run moves back to the full minute, if that is not before `earliestMs`.
 */
export function createMessages(
  dice: Dice,
  createdMs: Ms,
  earliestMs: Ms,
  behaviour: QstashBehaviour,
): readonly Message[] {
  const roll = dice.next();
  const special: Record<string, unknown> = {};
  let atMs = createdMs;
  if (roll < 0.08) special.queueName = dice.pick(QUEUES);
  else if (roll < 0.16) {
    special.scheduleId = dice.pick(SCHEDULES);
    const minuteMs = createdMs - (createdMs % 60_000) + dice.int(0, 40);
    atMs = minuteMs >= earliestMs && minuteMs < createdMs ? minuteMs : createdMs;
  } else if (roll < 0.2) {
    special.callback = urlOf(CALLBACK);
    special.callbackHeaders = { 'X-Tenant': [`${dice.int(1, 99)}`] };
  } else if (roll < 0.22) {
    special.failureCallback = urlOf(FAILURE_CALLBACK);
    special.failureCallbackHeaders = { 'X-Alert': ['on-call'] };
  }
  if (dice.chance(0.15)) label(special, dice, behaviour);
  if (dice.chance(0.03))
    Object.assign(special, { flowControlKey: 'tenant-42', parallelism: 5, rate: 20, period: 60 });
  if (dice.chance(0.05)) special.timeout = 30_000;
  if (dice.chance(0.05)) special[spelling(behaviour, 'retryDelayExpression')] = 'pow(2, retried) * 6000';
  // A queue waits for the message that is being retried: more retries would keep it from ever catching up.
  const maxRetries = dice.pick(special.queueName === undefined ? [0, 3, 3, 3, 3, 5] : [0, 1]);
  const destination = dice.pick(DESTINATIONS);
  const content = { header: headerOf(dice), body: bodyOf(dice, destination.event, atMs, behaviour) };
  const targets = roll >= 0.22 && roll < 0.26 ? GROUP.endpoints : [destination];
  return targets.map((target) => {
    const group = 'name' in target ? { topicName: GROUP.name, endpointName: target.name } : {};
    return createMessage(dice, atMs, maxRetries, target, { ...special, ...group, ...content }, behaviour);
  });
}

/** The message that tells `source`'s callback URL of `entry`, if the entry ends the message and there is one. */
export function createCallback(
  dice: Dice,
  source: Message,
  entry: Readonly<Record<string, unknown>>,
  behaviour: QstashBehaviour,
): Message | null {
  const delivered = entry.state === 'DELIVERED' && source.shared.callback !== undefined;
  const failed = entry.state === 'FAILED' && source.shared.failureCallback !== undefined;
  if (!delivered && !failed) return null;
  const told = {
    status: delivered ? entry.responseStatus : 500,
    body: Buffer.from(delivered ? 'ok' : 'failed').toString('base64'),
    retried: 0,
    maxRetries: source.maxRetries,
    sourceMessageId: source.shared.messageId,
    sourceBody: source.shared.body,
    url: source.shared.url,
  };
  const content = { header: headerOf(dice), body: Buffer.from(JSON.stringify(told)).toString('base64') };
  const target = delivered ? CALLBACK : FAILURE_CALLBACK;
  return createMessage(dice, (entry.time as Ms) + dice.int(1, 40), 3, target, content, behaviour);
}

function createMessage(
  dice: Dice,
  createdMs: Ms,
  maxRetries: number,
  target: Target,
  fields: Readonly<Record<string, unknown>>,
  behaviour: QstashBehaviour,
): Message {
  const { host, path } = target;
  return {
    createdMs,
    maxRetries,
    shared: {
      messageId: messageId(dice),
      url: urlOf(target),
      ...fields,
      method: 'POST',
      maxRetries,
      callerIp: `203.0.113.${dice.int(1, 254)}`,
      host,
      path,
    },
    failure: (chance) => {
      if (chance.chance(0.1)) return { error: `Post "${urlOf(target)}": context deadline exceeded` };
      const { status, text, type } = chance.pick(FAILURES);
      return {
        error: text,
        responseStatus: status,
        responseBody: Buffer.from(text).toString('base64'),
        [spelling(behaviour, 'responseHeaders')]: {
          'Content-Type': [type],
          Date: [new Date(createdMs).toUTCString()],
          Server: ['nginx'],
        },
      };
    },
  };
}

function urlOf({ host, path }: Target): string {
  return `https://${host}${path}`;
}

function spelling(behaviour: QstashBehaviour, name: 'retryDelayExpression' | 'responseHeaders'): string {
  if (behaviour.spelling === 'documented') return name;
  return name === 'responseHeaders' ? 'responseHeader' : 'retryDelayExpr';
}

function messageId(dice: Dice): string {
  return `msg_${dice.text(BASE58, dice.chance(0.5) ? 53 : 63)}`;
}

function label(fields: Record<string, unknown>, dice: Dice, behaviour: QstashBehaviour): void {
  const first = dice.pick(LABELS);
  const labels = dice.chance(0.3) ? [first, 'second'] : [first];
  if (behaviour.labels !== 'label') fields.labels = labels;
  if (behaviour.labels !== 'labels') fields.label = first;
}

function headerOf(dice: Dice): Record<string, string[]> {
  const trace = dice.bytes(16).toString('hex');
  const header: Record<string, string[]> = {
    'Content-Type': ['application/json'],
    'User-Agent': ['Upstash-Qstash-TS'],
    Traceparent: [`00-${trace}-${trace.slice(16)}-01`],
  };
  if (dice.chance(0.3)) header['X-Datadog-Trace-Id'] = [BigInt(`0x${trace.slice(16)}`).toString()];
  if (dice.chance(0.2)) header.Authorization = [`Bearer ${dice.text(BASE64URL, 32)}`];
  if (dice.chance(0.05)) header.Cookie = [`session=${dice.text(BASE64URL, 24)}`, 'theme=dark'];
  return header;
}

function bodyOf(dice: Dice, event: string, createdMs: Ms, behaviour: QstashBehaviour): string | undefined {
  const roll = dice.next();
  if (roll < 0.02) return undefined;
  if (roll < 0.04) return dice.bytes(dice.int(50, 400)).toString('base64');
  if (roll < 0.05) {
    const redacted = `REDACTED:${createHash('sha256').update(dice.bytes(16)).digest('hex')}`;
    return behaviour.redacted === 'plain' ? redacted : Buffer.from(redacted).toString('base64');
  }
  const lines = Array.from({ length: dice.int(1, 8) }, (_, n) => ({
    sku: `SKU-${dice.int(1000, 9999)}`,
    quantity: dice.int(1, 9),
    price: dice.int(100, 99_999) / 100,
    note: n === 0 ? 'größer als 5 €' : undefined,
  }));
  const order = {
    event,
    orderId: dice.int(1_000_000, 9_999_999),
    at: new Date(createdMs).toISOString(),
    lines,
  };
  return Buffer.from(JSON.stringify(order)).toString('base64');
}
