import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Span } from '../../src/model.ts';
import { daysOf } from './ceiling.ts';
import { PAGE_SIZE, type SourceName } from './pages.ts';

/** How the baseline reads one API into one wide table. */
export interface Wide {
  readonly table: string;
  readonly ddl: readonly string[];
  /** The request for a page of the span, at `cursor` ('' for the first). */
  request(api: string, span: Span, cursor: string): Request;
  /** Checks a page; gives its rows, and the next cursor (null: none). */
  read(answer: unknown): { readonly rows: readonly Record<string, unknown>[]; readonly next: string | null };
}

const STREAM = 'bench';

const headers = z.record(z.string(), z.array(z.string()));
const qstashPage = z.object({
  cursor: z.string().nullish(),
  events: z.array(
    z.object({
      time: z.int(),
      messageId: z.string(),
      state: z.string(),
      url: z.string(),
      error: z.string().optional(),
      nextDeliveryTime: z.int().optional(),
      topicName: z.string().optional(),
      endpointName: z.string().optional(),
      scheduleId: z.string().optional(),
      queueName: z.string().optional(),
      header: headers.optional(),
      body: z.string().optional(),
      responseStatus: z.int().optional(),
      responseBody: z.string().optional(),
      responseHeaders: headers.optional(),
      method: z.string().optional(),
      maxRetries: z.int().optional(),
      callerIp: z.string().optional(),
      host: z.string().optional(),
      path: z.string().optional(),
      duration: z.int().optional(),
      labels: z.array(z.string()).optional(),
    }),
  ),
});

const datadogPage = z.object({
  status: z.literal('done'),
  nextLogId: z.string().nullish(),
  logs: z.array(
    z.object({
      id: z.string(),
      content: z.object({
        timestamp: z.iso.datetime(),
        host: z.string().optional(),
        service: z.string().optional(),
        message: z.string().optional(),
        tags: z.array(z.string()).optional(),
        attributes: z.record(z.string(), z.unknown()).optional(),
      }),
    }),
  ),
});

/** One wide table for each source, with the keys, indexes and partitions of logkeep's own log table. */
export const WIDE: Readonly<Record<SourceName, Wide>> = {
  qstash: {
    table: 'wide_qstash',
    ddl: [
      `create table logkeep.wide_qstash (time timestamptz not null, next_delivery_time timestamptz,
        ingested_at timestamptz not null default now(), duration_ms bigint, entry_id uuid not null,
        response_status integer, max_retries integer, stream text not null, message_id text not null, state text,
        url text, error text, response_headers jsonb, response_body bytea, method text, header jsonb, body bytea,
        queue_name text, schedule_id text, topic_name text, endpoint_name text, labels text[], caller_ip text,
        host text, path text, primary key (stream, time, entry_id)) partition by range (time)`,
      'create index on logkeep.wide_qstash using hash (message_id)',
      'create index on logkeep.wide_qstash using brin (time) with (pages_per_range = 32)',
      'create index on logkeep.wide_qstash (time) where error is not null',
    ],
    request: (api, span, cursor) => {
      const query = new URLSearchParams({
        count: String(PAGE_SIZE.qstash),
        fromDate: String(span.from),
        toDate: String(span.to - 1),
      });
      if (cursor !== '') query.set('cursor', cursor);
      return new Request(`${api}/v2/logs?${query}`, { headers: { authorization: 'Bearer bench' } });
    },
    read: (answer) => {
      const { events, cursor } = qstashPage.parse(answer);
      return { rows: events.map(qstashRow), next: cursor ?? null };
    },
  },
  datadog: {
    table: 'wide_datadog',
    ddl: [
      `create table logkeep.wide_datadog (timestamp timestamptz not null, intake_time timestamptz,
        ingested_at timestamptz not null default now(), stream text not null, event_id text not null,
        id text not null, host text, service text, status text, source text, message text, tags text[],
        attributes jsonb, primary key (stream, timestamp, event_id)) partition by range (timestamp)`,
      'create index on logkeep.wide_datadog using brin (timestamp) with (pages_per_range = 32)',
      `create index on logkeep.wide_datadog (timestamp)
        where status in ('error', 'critical', 'alert', 'emergency')`,
    ],
    request: (api, span, cursor) =>
      new Request(`${api}/api/v1/logs-queries/list`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'dd-api-key': 'bench', 'dd-application-key': 'bench' },
        body: JSON.stringify({
          query: '*',
          limit: PAGE_SIZE.datadog,
          sort: 'asc',
          ...(cursor === '' ? {} : { startAt: cursor }),
          time: { from: new Date(span.from).toISOString(), to: new Date(span.to).toISOString() },
        }),
      }),
    read: (answer) => {
      const { logs, nextLogId } = datadogPage.parse(answer);
      return { rows: logs.map(datadogRow), next: nextLogId ?? null };
    },
  },
};

/** The statements that make a partition for each day of the span. */
export function partitionDdl({ table }: Wide, span: Span): readonly string[] {
  return daysOf(span).map((day, n) => {
    const [from, to] = [new Date(day).toISOString(), new Date(day + 86_400_000).toISOString()];
    return `create table logkeep.${table}_${n} partition of logkeep.${table} for values from ('${from}') to ('${to}')`;
  });
}

function qstashRow(entry: z.output<typeof qstashPage>['events'][number]): Record<string, unknown> {
  const identity = [
    entry.messageId,
    entry.time,
    entry.state,
    entry.url,
    entry.endpointName,
    entry.error,
    entry.responseStatus,
    entry.nextDeliveryTime,
  ];
  return {
    stream: STREAM,
    time: new Date(entry.time),
    entry_id: createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32),
    message_id: entry.messageId,
    state: entry.state,
    url: entry.url,
    error: entry.error ?? null,
    response_status: entry.responseStatus ?? null,
    response_headers: jsonOrNull(entry.responseHeaders),
    response_body: bytesOrNull(entry.responseBody),
    next_delivery_time: entry.nextDeliveryTime === undefined ? null : new Date(entry.nextDeliveryTime),
    duration_ms: entry.duration ?? null,
    method: entry.method ?? null,
    header: jsonOrNull(entry.header),
    body: bytesOrNull(entry.body),
    queue_name: entry.queueName ?? null,
    schedule_id: entry.scheduleId ?? null,
    topic_name: entry.topicName ?? null,
    endpoint_name: entry.endpointName ?? null,
    max_retries: entry.maxRetries ?? null,
    labels: entry.labels ?? null,
    caller_ip: entry.callerIp ?? null,
    host: entry.host ?? null,
    path: entry.path ?? null,
  };
}

function datadogRow({ id, content }: z.output<typeof datadogPage>['logs'][number]): Record<string, unknown> {
  return {
    stream: STREAM,
    timestamp: content.timestamp,
    event_id: id,
    id,
    host: content.host ?? null,
    service: content.service ?? null,
    source: content.tags?.find((tag) => tag.startsWith('source:'))?.slice(7) ?? null,
    message: content.message ?? null,
    tags: content.tags ?? null,
    attributes: jsonOrNull(content.attributes),
  };
}

function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function bytesOrNull(value: string | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value, 'base64');
}
