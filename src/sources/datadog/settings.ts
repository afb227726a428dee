import { z } from 'zod';
import type { Source } from '../source.ts';
import { apiUrl, listed, oneOf, oneOrMany, optional, secret, text } from '../values.ts';

/** Datadog's sites; the API's host is `api.` and the site. */
export const SITES = [
  'datadoghq.com',
  'us3.datadoghq.com',
  'us5.datadoghq.com',
  'datadoghq.eu',
  'ap1.datadoghq.com',
  'ap2.datadoghq.com',
  'uk1.datadoghq.com',
  'ddog-gov.com',
  'us2.ddog-gov.com',
] as const;

/** Storage tiers that v2 can ask for. */
const STORAGE_TIERS = ['indexes', 'online-archives', 'flex'] as const;

/** A Datadog stream's own settings. */
export const settings = z
  .strictObject({
    site: site().prefault('datadoghq.com').describe('Datadog site of the organisation.'),
    api_url: optional(apiUrl('https://api.datadoghq.eu')).describe(
      "Address of the API instead of the site's own, for a proxy or the sandbox.",
    ),
    api_key: secret(`a Datadog API key, such as '\${DD_API_KEY}'`).describe('API key of that site.'),
    app_key: secret(`a Datadog application key, such as '\${DD_APP_KEY}'`).describe(
      'Application key with the permission logs_read_data.',
    ),
    query: text('a log search such as service:web*')
      .prefault('*')
      .describe(
        "Datadog log search; everything by default. A restriction query on the key's owner also applies.",
      ),
    index: optional(oneOrMany('the name of an index such as main'))
      .transform((names) => names?.flatMap((name) => name.split(/\s*,\s*/)).filter(Boolean) ?? null)
      .describe(
        'Index or indexes to read, as a list or separated by commas; all live ones by default. Rehydrated ones must be named.',
      ),
    api: oneOf(['v1', 'v2'])
      .prefault('v1')
      .describe(
        'Transport: v1 (logs-queries/list), or v2 (logs/events/search), which also gives the severity and other storage tiers.',
      ),
    storage_tier: optional(oneOf(STORAGE_TIERS)).describe('Storage tier to read; with api v2 only.'),
  })
  .refine((own) => typeof own.storage_tier !== 'string' || own.api !== 'v1', {
    path: ['storage_tier'],
    message: 'expected only together with api: v2',
    when: ({ value }) => typeof value === 'object' && value !== null,
  });

/** The settings as `open` gets them: what is absent is null. */
export type DatadogSettings = z.output<typeof settings>;

/** Settings that are masked wherever they are shown. */
export const secrets: Source['secrets'] = ['api_key', 'app_key'];

/** Most indexes keep logs for 15 days. */
export const REACH_MS = 15 * 86_400_000;

/**
 * Retention is the index's (3, 7, 15 or 30 days) and the API does not tell it. The shortest is the one that never
 * claims time whose logs are gone; older logs are read all the same (`REACH_MS`). 1000 logs are the most for one request.
 */
export const defaults: Source['defaults'] = {
  retention: '3d',
  settle: '120s',
  overlap: '15m',
  sweep_after: '20h',
  page_size: 1000,
};

/** Variables that declare a stream without a file. */
export const environment: Source['environment'] = {
  stream: 'datadog.main',
  variables: [
    { name: 'DD_API_KEY', setting: 'api_key', required: true, help: 'Datadog API key' },
    { name: 'DD_APP_KEY', setting: 'app_key', required: true, help: 'application key with logs_read_data' },
    { name: 'DD_SITE', setting: 'site', required: false, help: 'Datadog site; datadoghq.com by default' },
    { name: 'DD_API_URL', setting: 'api_url', required: false, help: "address instead of the site's own" },
    { name: 'DD_LOGS_QUERY', setting: 'query', required: false, help: 'log search; * by default' },
    {
      name: 'DD_LOGS_INDEX',
      setting: 'index',
      required: false,
      help: 'index, or several separated by commas',
    },
  ],
};

/** The site without `app.` or `api.`, which belong to its hosts. */
function site() {
  const expected = `expected a Datadog site: ${listed(SITES)} (for another host set api_url)`;
  return z
    .string({ error: expected })
    .meta({ examples: [...SITES], values: listed(SITES) })
    .transform((value, context): (typeof SITES)[number] => {
      const bare = value
        .trim()
        .toLowerCase()
        .replace(/^(app|api)\./, '');
      const known = SITES.find((one) => one === bare);
      if (known !== undefined) return known;
      context.addIssue({ code: 'custom', message: expected });
      return z.NEVER;
    });
}
