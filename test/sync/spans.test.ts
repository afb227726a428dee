import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span, Spans } from '../../src/model.ts';
import { floorSecond, intersect, length, subtract, union } from '../../src/sync/spans.ts';

const spans = fc.array(
  fc
    .tuple(fc.integer({ min: -20, max: 40 }), fc.integer({ min: 0, max: 12 }))
    .map(([from, size]): Span => ({ from, to: from + size })),
  { maxLength: 8 },
);

/** Whole numbers in the spans: what set arithmetic by hand works on. */
function points(list: Spans): Set<number> {
  const found = new Set<number>();
  for (const { from, to } of list) for (let at = from; at < to; at++) found.add(at);
  return found;
}

function expectTidy(list: Spans): void {
  for (const [i, span] of list.entries()) {
    expect(span.to).toBeGreaterThan(span.from);
    const next = list[i + 1];
    if (next !== undefined) expect(next.from).toBeGreaterThan(span.to);
  }
}

test('union, subtract and intersect are what sets are, and their answers are sorted and neither touch nor overlap', () => {
  fc.assert(
    fc.property(spans, spans, (a, b) => {
      for (const [answer, wanted] of [
        [union(a, b), points(a).union(points(b))],
        [subtract(a, b), points(a).difference(points(b))],
        [intersect(a, b), points(a).intersection(points(b))],
      ] as const) {
        expectTidy(answer);
        expect(points(answer)).toEqual(wanted);
        expect(length(answer)).toBe(wanted.size);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('spans without an end on one side can be cut and joined', () => {
  const always = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
  expect(subtract([always], [{ from: 1, to: 2 }])).toEqual([
    { from: Number.NEGATIVE_INFINITY, to: 1 },
    { from: 2, to: Number.POSITIVE_INFINITY },
  ]);
  expect(intersect([{ from: 5, to: Number.POSITIVE_INFINITY }], [{ from: 0, to: 9 }])).toEqual([
    { from: 5, to: 9 },
  ]);
  expect(union([always], [{ from: 1, to: 2 }])).toEqual([always]);
});

test('union leaves its arguments as they were', () => {
  const list = Object.freeze([Object.freeze({ from: 0, to: 5 }), Object.freeze({ from: 5, to: 9 })]);
  expect(union(list)).toEqual([{ from: 0, to: 9 }]);
});

test('floorSecond goes down, before 1970 too', () => {
  expect([1_999, 2_000, -1, -1_000].map(floorSecond)).toEqual([1_000, 2_000, -1_000, -1_000]);
});
