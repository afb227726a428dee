import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Stage, Value } from '../../src/sources/tables.ts';
import { StageBuffer } from '../../src/store/copy.ts';

const STAGE: Stage = {
  name: 'stage_test',
  columns: [
    { name: 'id', type: 'text' },
    { name: 'time', type: 'timestamptz' },
    { name: 'raw', type: 'text', volatile: true },
    { name: 'a', type: 'text' },
  ],
};

test('a row is added once for each id and time, however many there are, and twins are told apart by what stays', () => {
  const row = fc.tuple(
    fc.constantFrom('a', 'ab', 'abc', '', 'é'),
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom('x', 'y', null),
    fc.constantFrom('1', '2', null),
  );
  fc.assert(
    fc.property(fc.array(row, { maxLength: 60 }), (rows) => {
      const buffer = new StageBuffer(STAGE);
      const first = new Map<string, Value>();
      const kept: (readonly Value[])[] = [];
      for (const values of rows) {
        const [id, time, , a] = values;
        const key = JSON.stringify([id, time]);
        const known = first.has(key);
        expect(buffer.appendUnique(values)).toBe(!known ? 'added' : first.get(key) === a ? 'known' : 'clash');
        if (known) continue;
        first.set(key, a);
        kept.push(values);
      }
      const plain = new StageBuffer(STAGE);
      for (const values of kept) plain.append(values);
      expect(buffer.encoded()).toEqual(plain.encoded());
    }),
    { numRuns: 300 },
  );
});

test('more rows than a batch has are found again, and forgotten when the buffer is cleared', () => {
  const buffer = new StageBuffer(STAGE);
  const values = (n: number): readonly Value[] => [`id-${n}`, 0, null, 'a'];
  const added = (count: number) =>
    Array.from({ length: count }, (_, n) => buffer.appendUnique(values(n))).filter((how) => how === 'added')
      .length;
  expect(added(30_000)).toBe(30_000);
  expect(added(30_000)).toBe(0);
  buffer.clear();
  expect(added(10)).toBe(10);
});
