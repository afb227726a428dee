import { expect, test } from 'vitest';
import { reachOf } from '../../src/sync/reach.ts';

const read = { askedFrom: 100, covered: [], expired: [], oversize: [] };

test('all is read until the end of the coverage that hangs together from the beginning; what is missing up to the newest are holes', () => {
  const covered = [
    { from: 50, to: 200 },
    { from: 300, to: 400 },
    { from: 450, to: 500 },
  ];
  expect(reachOf({ ...read, covered })).toEqual({
    untilMs: 200,
    holes: [
      { from: 200, to: 300 },
      { from: 400, to: 450 },
    ],
  });
  expect(reachOf({ ...read, covered: covered.slice(0, 1) })).toEqual({ untilMs: 200, holes: [] });
});

test('nothing is read until anything where the beginning is missing, whatever was read behind it or before it', () => {
  const covered = [
    { from: 50, to: 100 },
    { from: 300, to: 400 },
  ];
  expect(reachOf({ ...read, covered })).toEqual({ untilMs: null, holes: [{ from: 100, to: 300 }] });
  expect(reachOf(read)).toEqual({ untilMs: null, holes: [] });
  expect(reachOf({ ...read, covered: [{ from: 0, to: 100 }] })).toEqual({ untilMs: null, holes: [] });
});

test('what is known to be lost is no hole and does not end what hangs together, but nothing is read by it', () => {
  const covered = [
    { from: 150, to: 200 },
    { from: 201, to: 300 },
  ];
  const expired = [{ from: 100, to: 150 }];
  const oversize = [{ from: 200, to: 201 }];
  expect(reachOf({ askedFrom: 100, covered, expired, oversize })).toEqual({ untilMs: 300, holes: [] });
  expect(reachOf({ ...read, expired })).toEqual({ untilMs: null, holes: [] });
  expect(reachOf({ ...read, covered, expired: [...expired, { from: 300, to: 350 }], oversize }).untilMs).toBe(
    300,
  );
});
