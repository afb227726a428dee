import { createHash } from 'node:crypto';
import { recentPage } from '../chain.ts';
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
import { datadogAllowance, datadogSense } from './api.ts';
import { CURSOR_MAX_AGE_MS, readPages } from './client.ts';
import { countHours } from './count.ts';
import { createNormaliser } from './normalise.ts';
import { type DatadogAccess, requestPage } from './request.ts';
import { type DatadogSettings, defaults, environment, REACH_MS, secrets, settings } from './settings.ts';
import { tables, tablesV2 } from './table.ts';
import { v1, v2 } from './transport.ts';

/** Datadog's log search, ascending: v1, or v2, which also gives the severity. */
export const datadog: Source = {
  name: 'datadog',
  settings,
  defaults,
  reachMs: REACH_MS,
  environment,
  secrets,
  open,
};

function open(stream: StreamSettings, options: OpenOptions): Stream {
  const own = stream.own as DatadogSettings;
  const access = accessOf(stream, own, options);
  const counting = {
    ...access.api,
    credential: options.http.gate(`${access.api.credential.key} aggregate`, stream),
  };
  // A local clock that is behind must not make what is sound look absurd.
  let apiNow = 0;
  const normalise = createNormaliser({
    redactor: options.redactor,
    nowMs: () => Math.max(options.clock.now(), apiNow),
    transport: own.api,
  });
  return {
    id: stream.id,
    source: 'datadog',
    // Not the transport: v2 shows the same logs as v1.
    fingerprint: fingerprintOf({
      source: 'datadog',
      host: new URL(access.url).host + new URL(access.url).pathname.replace(/\/+$/, ''),
      query: own.query,
      index: [...access.search.indexes].sort(),
      tier: own.storage_tier,
    }),
    scope: scopeOf(access, own),
    order: 'ascending',
    pageSize: stream.pageSize,
    cursorMaxAgeMs: CURSOR_MAX_AGE_MS,
    // v2 gives a cursor on the last page too: only the empty one behind it is the end.
    leastRequests: own.api === 'v2' ? 2 : 1,
    tables: own.api === 'v2' ? tablesV2 : tables,
    async *read(o: ReadOptions): AsyncGenerator<Page, void> {
      for await (const page of readPages(access, o)) {
        const { next, dateMs, bytes, readTo } = page;
        apiNow = Math.max(apiNow, dateMs ?? 0);
        yield lazyPage({ next, dateMs, bytes, readTo }, page.entries, normalise);
      }
    },
    normalise: (text) => normaliseOne(text, normalise),
    count: (o) => countHours(access, counting, o),
    async probe(signal, meter = createMeter()) {
      const { dateMs } = await recentPage(options.clock.now(), (span) =>
        requestPage(access, { signal, meter }, span, null, 1),
      );
      return { skewMs: skewOf(dateMs, options.clock.now()), quota: access.api.credential.quota() };
    },
    quota: () => access.api.credential.quota(),
  };
}

/** Terms that all must hold are filters of their own; a query with any other operator is one filter as a whole. */
function scopeOf(access: DatadogAccess, own: DatadogSettings): Scope {
  const query = own.query.trim();
  const simple = !/["()\\]|(^|\s)(OR|NOT)(\s|$)/.test(query);
  const terms = simple ? query.split(/\s+/).filter((term) => !['', '*', 'AND'].includes(term)) : [query];
  const filters: Record<string, readonly string[]> = { tier: [own.storage_tier ?? 'indexes'] };
  for (const term of terms) {
    filters[`query ${term}`] = ['holds'];
    // A log has one service and one host: streams of different ones share no log.
    const [, field, value] = /^(service|host):([\w.-]+)$/.exec(term) ?? [];
    if (field !== undefined && value !== undefined) filters[field] = [value.toLowerCase()];
  }
  if (access.search.indexes.length > 0) filters.index = access.search.indexes;
  return {
    account: `${new URL(access.url).host} ${keyHash(own)}`,
    filters,
  };
}

function accessOf(stream: StreamSettings, own: DatadogSettings, options: OpenOptions): DatadogAccess {
  const url = own.api_url ?? `https://api.${own.site}`;
  return {
    http: options.http,
    url,
    apiKey: own.api_key,
    appKey: own.app_key,
    search: { query: own.query, indexes: own.index ?? [], storageTier: own.storage_tier },
    transport: own.api === 'v2' ? v2 : v1,
    pageSize: stream.pageSize,
    api: {
      label: stream.id,
      credential: options.http.gate(`datadog ${url} ${keyHash(own)}`, stream),
      secrets: [own.api_key, own.app_key],
      authHint: `check that api_key and app_key are of the site ${own.site}${own.api_url === null ? '' : ` (${new URL(url).host})`}, and that the owner of app_key has the permission logs_read_data`,
      maxBodyBytes: stream.maxBodyBytes,
      timeoutMs: stream.timeoutMs,
      retryMs: stream.retryMs,
      allowance: datadogAllowance,
      sense: datadogSense,
    },
  };
}

/** Names the account without telling its key. */
function keyHash({ api_key }: DatadogSettings): string {
  return createHash('sha256').update(api_key).digest('hex');
}
