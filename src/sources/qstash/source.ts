import { createHash } from 'node:crypto';
import { recentPage } from '../chain.ts';
import type { Http } from '../http.ts';
import {
  createMeter,
  type OpenOptions,
  type Page,
  type ReadOptions,
  type Scope,
  type Source,
  type Stream,
  type StreamSettings,
} from '../source.ts';
import { fingerprintOf, lazyPage, normaliseOne, skewOf } from '../stream.ts';
import { type QstashAccess, qstashAllowance, readPages, requestPage } from './client.ts';
import { IN_PROGRESS } from './locate.ts';
import { createNormaliser } from './normalise.ts';
import { defaults, environment, type QstashSettings, REACH_MS, secrets, settings } from './settings.ts';
import { tables } from './table.ts';

/** Upstash QStash: `GET /v2/logs`, newest first. */
export const qstash: Source = {
  name: 'qstash',
  settings,
  defaults,
  reachMs: REACH_MS,
  environment,
  secrets,
  open,
};

function open(stream: StreamSettings, options: OpenOptions): Stream {
  const own = stream.own as QstashSettings;
  const access = accessOf(stream, own, options.http);
  // A local clock that is behind must not make what is sound look absurd.
  let apiNow = 0;
  const nowMs = () => Math.max(options.clock.now(), apiNow);
  const normalise = createNormaliser({ redactor: options.redactor, nowMs });
  return {
    id: stream.id,
    source: 'qstash',
    fingerprint: fingerprintOf({
      source: 'qstash',
      host: hostOf(own.url),
      account: accountOf(own.token),
      filters: [...access.filters].map((pair) => pair.join('=')).sort(),
    }),
    scope: scopeOf(own, access.filters),
    order: 'descending',
    pageSize: stream.pageSize,
    cursorMaxAgeMs: null,
    tables,
    async *read(o: ReadOptions): AsyncGenerator<Page, void> {
      for await (const page of readPages(access, o)) {
        const { next, dateMs, bytes } = page;
        apiNow = Math.max(apiNow, dateMs ?? 0);
        yield lazyPage({ next, dateMs, bytes, readTo: null }, page.entries, normalise);
      }
    },
    normalise: (text) => normaliseOne(text, normalise),
    async probe(signal, meter = createMeter()) {
      const { dateMs } = await recentPage(options.clock.now(), (span) =>
        requestPage(access, { signal, meter }, span, null, 1),
      );
      return { skewMs: skewOf(dateMs, options.clock.now()), quota: access.api.credential.quota() };
    },
    quota: () => access.api.credential.quota(),
  };
}

function accessOf(stream: StreamSettings, own: QstashSettings, http: Http): QstashAccess {
  const filters: [string, string][] = [];
  const add = (name: string, values: string | readonly string[] | null) => {
    for (const value of typeof values === 'string' ? [values] : (values ?? [])) filters.push([name, value]);
  };
  add('messageId', own.message_id);
  add('state', own.state);
  add('url', own.destination);
  add('topicName', own.url_group);
  add('scheduleId', own.schedule_id);
  add('queueName', own.queue_name);
  add('label', own.label);
  add('host', own.host);
  add('path', own.path);
  add('callerIp', own.caller_ip);
  add('flowControlKey', own.flow_control_key);
  return {
    http,
    url: own.url,
    token: own.token,
    filters,
    pageSize: stream.pageSize,
    api: {
      label: stream.id,
      credential: http.gate(`qstash ${hostOf(own.url)} ${hash(own.token)}`, stream),
      secrets: [own.token],
      authHint: `check the token, and that it is one of the region of ${own.url}: EU (https://qstash.upstash.io) and US (https://qstash-us-east-1.upstash.io) have tokens of their own`,
      maxBodyBytes: stream.maxBodyBytes,
      timeoutMs: stream.timeoutMs,
      retryMs: stream.retryMs,
      allowance: qstashAllowance,
      sense: () => null,
    },
  };
}

function scopeOf(own: QstashSettings, pairs: QstashAccess['filters']): Scope {
  const filters: Record<string, string[]> = {};
  for (const [name, value] of pairs) {
    const values = name === 'state' && value === 'IN_PROGRESS' ? IN_PROGRESS : [value];
    filters[name] = [...(filters[name] ?? []), ...values];
  }
  return {
    account: `${hostOf(own.url)} ${accountOf(own.token) || hash(own.token)}`,
    filters,
    manyValued: ['label'],
  };
}

/** Host and path of the API; the two names of the EU region are one. */
function hostOf(address: string): string {
  const url = new URL(address);
  const host = url.host === 'qstash-eu-central-1.upstash.io' ? 'qstash.upstash.io' : url.host;
  return host + url.pathname.replace(/\/+$/, '');
}

/**
 * The user that the token names (it is base64 of JSON, or a JWT), so that a rotated token keeps its coverage;
 * empty where it names none: then the host alone tells accounts apart.
 */
export function accountOf(token: string): string {
  for (const part of token.split('.')) {
    try {
      const claims: unknown = JSON.parse(Buffer.from(part, 'base64').toString('utf8'));
      if (typeof claims !== 'object' || claims === null) continue;
      const { UserID, userId, sub } = claims as Record<string, unknown>;
      for (const name of [UserID, userId, sub]) if (typeof name === 'string' && name !== '') return name;
    } catch {
      // Not JSON: a token of another form.
    }
  }
  return '';
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
