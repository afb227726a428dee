import { expect, test } from 'vitest';
import { SITES } from '../../../src/sources/datadog/settings.ts';
import { datadog } from '../../../src/sources/datadog/source.ts';
import { openStream } from '../opened.ts';
import { testClock } from '../stand.ts';

/** Site as Datadog's page names it, and the host that the page sends its requests to; `uk1` is newer than the page. */
const HOSTS = {
  'ap1.datadoghq.com': 'api.ap1.datadoghq.com',
  'ap2.datadoghq.com': 'api.ap2.datadoghq.com',
  'app.datadoghq.eu': 'api.datadoghq.eu',
  'app.ddog-gov.com': 'api.ddog-gov.com',
  'us2.ddog-gov.com': 'api.us2.ddog-gov.com',
  'app.datadoghq.com': 'api.datadoghq.com',
  'us3.datadoghq.com': 'api.us3.datadoghq.com',
  'us5.datadoghq.com': 'api.us5.datadoghq.com',
  'uk1.datadoghq.com': 'api.uk1.datadoghq.com',
};

/** Where a stream of this site sends its requests: opening it sends none. */
function hostOf(site: string): string {
  const { stream } = openStream(datadog, { site, api_key: 'a', app_key: 'b' }, testClock());
  return stream.scope.account.split(' ')[0] ?? '';
}

test.each(Object.entries(HOSTS))('the site %s is read at %s', (site, host) => {
  expect(hostOf(site)).toBe(host);
});

test('every site has its host here, and its name without app. means the same', () => {
  expect(SITES.map((site) => hostOf(site)).sort()).toEqual(Object.values(HOSTS).sort());
});
