import { expect, it } from 'vitest';
import { includesScope, mayOverlap } from '../../src/sources/scope.ts';
import type { Scope } from '../../src/sources/source.ts';

const scope = (filters: Scope['filters'], account = 'a'): Scope => ({ account, filters });

it.each([
  ['no filter includes any', scope({}), scope({ state: ['FAILED'] }), true],
  ['a filter does not include none', scope({ state: ['FAILED'] }), scope({}), false],
  ['the same includes itself', scope({ label: ['x', 'y'] }), scope({ label: ['y', 'x'] }), true],
  ['more values include fewer', scope({ label: ['x', 'y'] }), scope({ label: ['x'] }), true],
  ['fewer values do not include more', scope({ label: ['x'] }), scope({ label: ['x', 'y'] }), false],
  [
    'one more filter is narrower',
    scope({ state: ['FAILED'] }),
    scope({ state: ['FAILED'], queue: ['q'] }),
    true,
  ],
  ['another filter is neither', scope({ state: ['FAILED'] }), scope({ queue: ['q'] }), false],
  ['another account has other entries', scope({}), scope({}, 'b'), false],
])('%s', (_, outer, inner, expected) => {
  expect(includesScope(outer, inner)).toBe(expected);
});

it.each([
  ['different values of one filter share nothing', { queue: ['a'] }, { queue: ['b', 'c'] }, false],
  ['one value in common may be shared', { queue: ['a', 'b'] }, { queue: ['b', 'c'] }, true],
  ['filters of different names may let the same through', { state: ['FAILED'] }, { queue: ['a'] }, true],
  [
    'one filter that keeps them apart is enough',
    { state: ['FAILED'], queue: ['a'] },
    { queue: ['b'], label: ['x'] },
    false,
  ],
  ['an entry may have two labels, so labels keep nothing apart', { label: ['x'] }, { label: ['y'] }, true],
  ['what is contained overlaps', {}, { queue: ['a'] }, true],
])('%s', (_, a: Scope['filters'], b: Scope['filters'], expected) => {
  const [one, other] = [a, b].map((filters): Scope => ({ ...scope(filters), manyValued: ['label'] }));
  expect(mayOverlap(one as Scope, other as Scope)).toBe(expected);
  expect(mayOverlap(other as Scope, one as Scope)).toBe(expected);
});

it('streams of two accounts share nothing', () => {
  expect(mayOverlap(scope({}), scope({}, 'b'))).toBe(false);
});
