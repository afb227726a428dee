import type { Ms } from '../../model.ts';
import type { Dice } from '../dice.ts';
import type { QstashBehaviour } from './behaviour.ts';
import type { QstashEntryInput } from './ledger.ts';
import { createCallback, createMessages, type Message } from './message.ts';

type Outcome = {
  readonly kind: 'delivered' | 'exhausted' | 'refused' | 'cancelled' | 'cancelled_late';
  readonly errors: number;
};

const ORDER = [
  'time',
  'messageId',
  'state',
  'error',
  'nextDeliveryTime',
  'url',
  'topicName',
  'endpointName',
  'scheduleId',
  'queueName',
  'header',
  'body',
  'responseStatus',
  'responseBody',
  'responseHeaders',
  'responseHeader',
  'timeout',
  'method',
  'callback',
  'callbackHeaders',
  'failureCallback',
  'failureCallbackHeaders',
  'maxRetries',
  'retryDelayExpression',
  'retryDelayExpr',
  'callerIp',
  'host',
  'path',
  'duration',
  'label',
  'labels',
  'flowControlKey',
  'parallelism',
  'rate',
  'period',
];

/**
 * The life cycles of `messages` messages, and of the callbacks that they cause, as the live service writes them;
 * entries at `to` or later are left out.
 */
export function writeQstashHistory(
  dice: Dice,
  span: { readonly from: Ms; readonly to: Ms; readonly messages: number },
  behaviour: QstashBehaviour,
): readonly QstashEntryInput[] {
  const inputs: QstashEntryInput[] = [];
  const queueFree = new Map<string, Ms>();
  const messages = publish(dice, span, behaviour);
  for (const message of messages) {
    let writtenMs = 0;
    for (const entry of live(dice, message, queueFree, behaviour)) {
      const time = entry.time as Ms;
      // Entries of different messages are written out of order; those of one message are not.
      writtenMs = Math.max(writtenMs, time + dice.int(0, behaviour.disorderMs));
      if (time >= span.from && time < span.to) inputs.push({ entry: inOrder(entry), writtenMs });
      const callback = createCallback(dice, message, entry, behaviour);
      // Appended while the loop runs: a callback's own life cycle comes after all that were published.
      if (callback !== null) messages.push(callback);
    }
  }
  return inputs.sort((a, b) => timeOf(a) - timeOf(b));
}

/** Messages in order of their creation, so that a queue meets them in that order. */
function publish(
  dice: Dice,
  span: { readonly from: Ms; readonly to: Ms; readonly messages: number },
  behaviour: QstashBehaviour,
): Message[] {
  const messages: Message[] = [];
  let lastMs = span.from;
  while (messages.length < span.messages) {
    // Some messages are published together, as a batch.
    if (messages.length === 0 || !dice.chance(0.15)) lastMs = dice.int(span.from, span.to - 1);
    messages.push(...createMessages(dice, lastMs, span.from, behaviour));
  }
  messages.length = span.messages;
  return messages.sort((a, b) => a.createdMs - b.createdMs);
}

function* live(
  dice: Dice,
  message: Message,
  queueFree: Map<string, Ms>,
  behaviour: QstashBehaviour,
): Generator<Record<string, unknown>> {
  const entry = (time: Ms, state: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
    ...message.shared,
    time,
    state,
    ...more,
  });
  let time = message.createdMs;
  yield entry(time, 'CREATED', { nextDeliveryTime: time - dice.int(1, 4) });
  time += dice.int(54, 796);
  const queue = message.shared.queueName as string | undefined;
  if (queue !== undefined) time = Math.max(time, (queueFree.get(queue) ?? 0) + 1);
  const outcome = outcomeOf(dice, message.maxRetries);
  for (let attempt = 1; attempt <= outcome.errors; attempt++) {
    yield entry(time, 'ACTIVE');
    const duration = dice.int(20, 4000);
    time += duration;
    yield entry(time, 'ERROR', { ...message.failure(dice), duration });
    time += dice.int(0, 1);
    const lastError = attempt === outcome.errors;
    if (lastError && (outcome.kind === 'exhausted' || outcome.kind === 'refused')) {
      yield entry(time, 'FAILED');
      // Rarely an attempt that was given up is heard of after all.
      const late = { responseStatus: 200, duration: dice.int(8, 2500) };
      if (dice.chance(0.1)) yield entry(time + dice.int(1, 5000), 'DELIVERED', late);
      if (queue !== undefined) queueFree.set(queue, time);
      return;
    }
    const nextMs = time + retryDelay(dice, attempt);
    yield entry(time, 'RETRY', { nextDeliveryTime: nextMs });
    if (lastError && outcome.kind === 'cancelled') {
      yield entry(dice.int(time + 1, nextMs), 'CANCEL_REQUESTED');
      yield entry(nextMs, behaviour.cancelled);
      return;
    }
    if (lastError && outcome.kind === 'cancelled_late')
      yield entry(nextMs - dice.int(0, 3), 'CANCEL_REQUESTED');
    time = nextMs + dice.int(5, 300);
  }
  yield entry(time, 'ACTIVE');
  const duration = dice.int(8, 2500);
  time += duration;
  const delivered = { responseStatus: dice.pick([200, 200, 200, 201, 202, 204]), duration };
  yield entry(time, 'DELIVERED', delivered);
  if (queue !== undefined) queueFree.set(queue, time);
  // Delivery is at least once: now and then an attempt is told twice.
  if (dice.chance(0.004)) {
    yield entry(time + dice.int(1, 900), 'ACTIVE');
    yield entry(time + dice.int(901, 2500), 'DELIVERED', delivered);
  }
}

function outcomeOf(dice: Dice, maxRetries: number): Outcome {
  const roll = dice.next();
  if (roll < 0.025) return { kind: 'refused', errors: 1 };
  if (maxRetries === 0)
    return roll < 0.08 ? { kind: 'exhausted', errors: 1 } : { kind: 'delivered', errors: 0 };
  if (roll < 0.055) return { kind: 'exhausted', errors: maxRetries + 1 };
  if (roll < 0.075) return { kind: 'cancelled', errors: 1 };
  if (roll < 0.08) return { kind: 'cancelled_late', errors: 1 };
  if (roll < 0.2) return { kind: 'delivered', errors: dice.int(1, maxRetries) };
  return { kind: 'delivered', errors: 0 };
}

function retryDelay(dice: Dice, attempt: number): number {
  if (attempt === 1) return dice.int(11_900, 12_300);
  return attempt === 2 ? dice.int(140_000, 160_000) : dice.int(1_878_000, 1_882_000);
}

function inOrder(entry: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const ordered: Record<string, unknown> = {};
  // Zero and empty are left out on the wire.
  for (const key of ORDER) if (entry[key] !== undefined && entry[key] !== 0) ordered[key] = entry[key];
  return ordered;
}

function timeOf(input: QstashEntryInput): Ms {
  return typeof input.entry === 'string' ? 0 : (input.entry.time as Ms);
}
