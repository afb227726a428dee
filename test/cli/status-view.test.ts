import { expect, test } from 'vitest';
import { statusJson, statusText } from '../../src/cli/status-view.ts';
import type { Lateness } from '../../src/sync/ledger.ts';
import { NOW, statusOf } from '../serve/statuses.ts';

const listed = (lateness: Lateness) =>
  [
    {
      stream: 'qstash.main',
      status: statusOf({ stream: 'qstash.main', settledToMs: null, lateness }),
      setting: 'in force',
    },
  ] as const;
/** What the notes say of lateness, without the stream's name. */
const said = (lateness: Lateness) =>
  /^qstash\.main: (.*(?:came|late).*)$/m.exec(statusText(listed(lateness), NOW))?.[1] ?? null;
const json = (lateness: Lateness) =>
  (statusJson(listed(lateness)) as { streams: readonly { lateness: object }[] }).streams[0]?.lateness;

/** 0 stands for entries of an API that does not tell, read in time. */
const UNTOLD = [{ upToMs: 0, count: 25_070 }];

test('how late entries came is not known while the API tells of none', () => {
  expect(said(UNTOLD)).toBe(
    'how late its entries come is not known: the API does not tell, and none of 25,070 came into time that was read before',
  );
  expect(json(UNTOLD)).toMatchObject({
    counted: 25_070,
    half_within_ms: null,
    p99_within_ms: null,
    p999_within_ms: null,
  });
});

test('of entries that came late, some of an API that does not tell, what is known is told', () => {
  const some = [...UNTOLD, { upToMs: 11_000, count: 2_000 }, { upToMs: 90_000, count: 20 }];
  expect(said(some)).toBe(
    'of 27,090 entries half came in time as far as is known, all but one in a thousand within 11 s',
  );
  expect(json(some)).toMatchObject({ half_within_ms: null, p99_within_ms: 11_000, p999_within_ms: 11_000 });
  expect(
    said([
      { upToMs: 1_000, count: 990 },
      { upToMs: 64_000, count: 10 },
    ]),
  ).toBe('of 1,000 entries half came within 1 s, all but one in a thousand within 1 min 4 s');
  expect(said([{ upToMs: 1_000, count: 999 }])).toBeNull();
});
