import type { Field, FieldKind } from '../fields.ts';
import { tables } from './table.ts';

/** A field of the API: where its value goes. */
export interface QstashField extends Field {
  /** The stage's number: 0 for what differs by entry, 1 for what was sent. */
  readonly stage: 0 | 1;
  /** The column's name. */
  readonly into: string;
  /** The documented spelling, where this is another one of the same field. */
  readonly spells: string | null;
}

/** In `extra`: which fields came in another spelling than the documented one, by that other spelling. */
export const SPELLING = 'logkeep:spelling';

// In the order of the wire, which rebuilding gives back.
const FIELDS: readonly QstashField[] = [
  field('time', 'time', 0),
  field('messageId', 'text', 0, 'message_id'),
  field('state', 'text', 0),
  field('error', 'text', 0),
  field('nextDeliveryTime', 'time', 0, 'next_delivery_time'),
  field('url', 'text', 0),
  field('topicName', 'text', 1, 'topic_name'),
  field('endpointName', 'text', 1, 'endpoint_name'),
  field('scheduleId', 'text', 1, 'schedule_id'),
  field('queueName', 'text', 1, 'queue_name'),
  field('header', 'headers', 1),
  field('body', 'bytes', 1),
  field('responseStatus', 'int4', 0, 'response_status'),
  field('responseBody', 'bytes', 0, 'response_body'),
  field('responseHeaders', 'headers', 0, 'response_headers'),
  field('responseHeader', 'headers', 0, 'response_headers', 'responseHeaders'),
  field('timeout', 'int8', 1, 'timeout_ms'),
  field('method', 'text', 1),
  field('callback', 'text', 1),
  field('callbackHeaders', 'headers', 1, 'callback_headers'),
  field('failureCallback', 'text', 1, 'failure_callback'),
  field('failureCallbackHeaders', 'headers', 1, 'failure_callback_headers'),
  field('maxRetries', 'int4', 1, 'max_retries'),
  field('retryDelayExpression', 'text', 1, 'retry_delay_expression'),
  field('retryDelayExpr', 'text', 1, 'retry_delay_expression', 'retryDelayExpression'),
  field('label', 'text', 1),
  field('labels', 'texts', 1),
  field('flowControlKey', 'text', 1, 'flow_control_key'),
  field('parallelism', 'int4', 1),
  field('rate', 'int4', 1),
  field('period', 'int4', 1),
  field('callerIp', 'text', 1, 'caller_ip'),
  field('host', 'text', 1),
  field('path', 'text', 1),
  field('duration', 'int8', 0, 'duration_ms'),
];

/** All fields that this version knows, by name, in the order of the wire. */
export const FIELD: ReadonlyMap<string, QstashField> = new Map(FIELDS.map((known) => [known.name, known]));

/** The fields that tell entries apart: stable and documented ones alone. */
export const IDENTITY: readonly string[] = [
  'messageId',
  'time',
  'state',
  'url',
  'endpointName',
  'error',
  'responseStatus',
  'nextDeliveryTime',
];

/** Position of a column in stage 0 or 1. Throws on a name that is none. */
export function columnOf(stage: 0 | 1, name: string): number {
  const at = tables.stages[stage]?.columns.findIndex((column) => column.name === name) ?? -1;
  if (at < 0) throw new Error(`qstash: stage ${stage} has no column ${name}`);
  return at;
}

function field(
  name: string,
  kind: FieldKind,
  stage: 0 | 1,
  into: string = name,
  spells: string | null = null,
): QstashField {
  return { name, kind, stage, into, spells, column: columnOf(stage, into) };
}
