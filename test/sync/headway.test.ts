import { expect, test } from 'vitest';
import { Headway } from '../../src/sync/headway.ts';
import type { Progress } from '../../src/sync/ledger.ts';

const NOWHERE: Progress = {
  askedFrom: 0,
  covered: [{ from: 0, to: 1_000 }],
  expired: [],
  oversize: [],
  young: [],
  settled: [],
  open: [],
  overlapEntries: 3,
};

test('plans that get nowhere five times over end the run with what was expected of the answers', () => {
  const headway = new Headway('qstash.main');
  for (let plan = 0; plan < 5; plan += 1) headway.planned({ ...NOWHERE, overlapEntries: plan });
  expect(() => headway.planned(NOWHERE)).toThrow(
    /^qstash.main: the same time was read 5 times to its end, and none of it could be claimed: expected /,
  );
});

test('whatever was claimed, lost or stored in between is getting somewhere', () => {
  const headway = new Headway('qstash.main');
  for (let plan = 0; plan < 20; plan += 1) {
    headway.planned({ ...NOWHERE, covered: [{ from: 0, to: plan }] });
    headway.planned({ ...NOWHERE, settled: [{ from: 0, to: plan }] });
  }
  for (let plan = 0; plan < 20; plan += 1) {
    headway.planned(NOWHERE);
    if (plan % 4 === 0) headway.stored(1);
  }
});

test('windows planned anew behind what is read are no standstill, though all of it was known', () => {
  const headway = new Headway('datadog.main');
  for (let window = 0; window < 200; window += 1)
    headway.ended(window % 50 === 49 ? 'advanced' : 'replanned');
  expect(() => headway.ended('replanned')).not.toThrow();
});

test('windows that are given up one after the other, sixty of them, end the run; one that is read begins the count anew', () => {
  const headway = new Headway('qstash.main');
  for (let window = 0; window < 60; window += 1) headway.ended(window % 2 === 0 ? 'replanned' : 'lost');
  headway.ended('done');
  for (let window = 0; window < 60; window += 1) headway.ended('replanned');
  headway.stored(0);
  expect(() => headway.ended('lost')).toThrow(
    /^qstash.main: windows were planned anew or lost 61 times in a row/,
  );
});
