import { expect, it } from 'vitest';
import { includesScope } from '../../src/sources/scope.ts';
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
