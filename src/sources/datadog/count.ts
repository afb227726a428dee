import { HOUR_MS } from '../../clock.ts';
import { LogkeepError } from '../../errors.ts';
import { repeatedName } from '../../json-scan.ts';
import type { Ms, Span } from '../../model.ts';
import { checkErrors, repeats } from '../entries.ts';
import type { Api } from '../exchange.ts';
import { quote } from '../refusal.ts';
import type { CountOptions, HourCount } from '../source.ts';
import type { DatadogAccess } from './request.ts';
import { checkMeta, member, type Search } from './transport.ts';

/**
 * How many logs the API counts in each hour of a window of whole hours, by one request: hours without any are left
 * out. `api` has a gate of its own, since aggregations are rationed apart from searches. Throws as `read` does.
 */
export async function countHours(
  access: DatadogAccess,
  api: Api,
  o: CountOptions,
): Promise<readonly HourCount[]> {
  const { window } = o;
  if (window.from % HOUR_MS !== 0 || window.to % HOUR_MS !== 0)
    throw new Error('expected a window of whole hours');
  return access.http.request(
    api,
    {
      ...o,
      method: 'POST',
      url: new URL(`${access.url}/api/v2/logs/analytics/aggregate`),
      headers: {
        'content-type': 'application/json',
        'dd-api-key': access.apiKey,
        'dd-application-key': access.appKey,
      },
      body: requestBody(access.search, window),
      hasCursor: false,
    },
    ({ text }) => readAnswer(text, window),
  );
}

function requestBody(search: Search, window: Span): string {
  return JSON.stringify({
    compute: [{ aggregation: 'count', type: 'timeseries', interval: '1h' }],
    filter: {
      query: search.query,
      ...(search.indexes.length === 0 ? {} : { indexes: search.indexes }),
      ...(search.storageTier === null ? {} : { storage_tier: search.storageTier }),
      from: `${window.from}`,
      to: `${window.to}`,
    },
  });
}

function readAnswer(text: string, window: Span): readonly HourCount[] {
  const answer: unknown = JSON.parse(text);
  const repeated = repeatedName(text);
  if (repeated !== null) throw repeats(repeated);
  checkErrors(answer);
  checkMeta(member(answer, 'meta'));
  const buckets = member(member(answer, 'data'), 'buckets');
  if (!Array.isArray(buckets) || buckets.length > 1) throw unknown('one bucket or none', buckets);
  if (buckets.length === 0) return [];
  const points = member(member(buckets[0], 'computes'), 'c0');
  if (!Array.isArray(points)) throw unknown('an array `computes.c0`', points);
  return (
    points
      .map((point) => readPoint(point))
      // Whether `to` itself is counted nobody says: what is at it or after belongs to the next window.
      .filter(({ fromMs, count }) => fromMs < window.to && count > 0)
      .map((hour) => {
        if (hour.fromMs < window.from) throw unknown('hours of the window', hour.fromMs);
        return hour;
      })
  );
}

function readPoint(point: unknown): HourCount {
  const time = member(point, 'time');
  const fromMs: Ms = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  if (!Number.isInteger(fromMs) || fromMs % HOUR_MS !== 0) throw unknown('the beginning of an hour', time);
  const count = member(point, 'value') ?? 0;
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0)
    throw unknown('a count of logs', count);
  return { fromMs, count };
}

function unknown(expected: string, found: unknown): LogkeepError {
  return new LogkeepError(
    'protocol',
    `the aggregation's answer has ${quote(JSON.stringify(found) ?? 'nothing')}: expected ${expected}`,
  );
}
