import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { amountText, bytesText, countText, lengthText, timeText } from '../../src/amounts.ts';
import { exportLines } from '../../src/cli/shell.ts';
import { fittingText, printable, tableText } from '../../src/cli/table.ts';

describe('a table', () => {
  it('puts numbers to the right, names what is null, and leaves no space at the ends of lines', () => {
    expect(
      tableText(
        ['name', 'n', 'note'],
        [
          ['a', 5, null],
          ['bb', 1000, 'x'],
        ],
      ),
    ).toBe('name      n   note\na         5   -\nbb     1000   x\n');
  });

  it('is blocks where it is wider than there is room', () => {
    const within = (width: number | null) =>
      fittingText(
        ['name', 'n', 'note'],
        [
          ['a', 5, null],
          ['b\u001b', 1000, 'x'],
        ],
        { width },
      );
    expect(within(null)).toBe('name         n   note\na            5   -\nb\\u001b   1000   x\n');
    expect(within(21)).toBe(within(null));
    expect(within(20)).toBe('a\n  n: 5\n  note: -\n\nb\\u001b\n  n: 1000\n  note: x\n');
  });

  it('lets no control character of a cell through', () => {
    const text = tableText(['x'], [['\u001b[31m\u009b\u0000\r\n\t\u202e']]);
    expect(text).toBe('x\n\\u001b[31m\\u009b\\u0000\\r\\n\\t\\u202e\n');
  });

  it('leaves text of all languages as it is', () => {
    expect(printable('größer 日本語 👩‍👩‍👧 עברית')).toBe('größer 日本語 👩‍👩‍👧 עברית');
  });
});

describe('amounts', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [999.7, '999 ms'],
    [-0.4, '0 ms'],
    [1000, '1 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_661_000, '1 h 1 min'],
    [86_400_000, '1 d'],
    [2 * 86_400_000 + 5 * 3_600_000, '2 d 5 h'],
    [-61_000, '-1 min 1 s'],
  ])('%d ms is %s', (ms, expected) => {
    expect(lengthText(ms)).toBe(expected);
  });

  it('have separators, the right number, a unit and a zone', () => {
    expect([countText(1234567), amountText(1, 'page'), amountText(0, 'entry', 'entries')]).toEqual([
      '1,234,567',
      '1 page',
      '0 entries',
    ]);
    expect(timeText(0)).toBe('1970-01-01 00:00:00Z');
    const sizes = [999, 999_949, 999_950, 21_300_000, 999_949_999, 999_950_000, 10 ** 18];
    expect(sizes.map(bytesText)).toEqual([
      '999 B',
      '999.9 kB',
      '1.0 MB',
      '21.3 MB',
      '999.9 MB',
      '1.0 GB',
      '1000000.0 TB',
    ]);
  });
});

it('export lines say the same to a shell, whatever the value', () => {
  const value = `it's $HOME "and" \`more\`\\ ; \n end`;
  const script = `${exportLines({ VALUE: value })}printf %s "$VALUE"`;
  expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toBe(value);
});
