import Table from 'cli-table3';

/** A cell: numbers stand at the right; null is shown as `-`. */
export type Cell = string | number | null;

/** Rows as text for people, columns two spaces apart, without lines. Control characters in cells are escaped. */
export function tableText(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  right: readonly number[] = [],
): string {
  const isRight = (column: number) =>
    right.includes(column) || (rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  const table = new Table({
    head: [...head],
    style: { head: [], border: [] },
    chars: { ...NO_LINES, middle: ' ' },
    colAligns: head.map((_, column) => (isRight(column) ? 'right' : 'left')),
  });
  for (const row of rows) table.push(row.map(cellText));
  return `${table.toString().replaceAll(/^ | +$/gm, '')}\n`;
}

/**
 * Rows as a table, or, where that is wider than `width` characters, each as a block: its first cell, then `name: value`
 * lines. Null: there is no width to keep to.
 */
export function fittingText(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  { right = [], width }: { readonly right?: readonly number[]; readonly width: number | null },
): string {
  const table = tableText(head, rows, right);
  if (width === null || table.split('\n').every((line) => line.length <= width)) return table;
  const blocks = rows.map(([title = null, ...cells]) => {
    const lines = cells.map((cell, i) => `  ${head[i + 1]}: ${cellText(cell)}\n`);
    return `${cellText(title)}\n${lines.join('')}`;
  });
  return blocks.join('\n');
}

function cellText(cell: Cell): string {
  return cell === null ? '-' : printable(String(cell));
}

// Controls, and what turns the direction of text: none may reach a terminal from outside.
const CONTROL = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** `text` with control characters as `\n`, `\t` or `\u001b`, so that what came from outside cannot steer a terminal. */
export function printable(text: string): string {
  return text.replace(CONTROL, (unit) => {
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[unit];
    return short ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** `text` without `name` and a colon at its front: for where the name stands already. */
export function withoutName(text: string, name: string | null): string {
  return name !== null && text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text;
}

/** No lines around a table, nor between its rows and columns. */
export const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};
