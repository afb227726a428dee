import type { StoredRow, StoredValue } from '../../src/sources/rebuild.ts';
import type { Row } from '../../src/sources/source.ts';
import type { Part, Stage, Utf8, Value } from '../../src/sources/tables.ts';

/** What a row adds to each stage, to be kept: none of it is written over when another row is asked. */
export function partsOf(row: Row): readonly (Part | null)[] {
  const { entry, shared } = row.parts();
  return [{ key: row.key, values: entry }, ...shared].map(
    (part) =>
      part && {
        key: part.key,
        values: part.values.map((value) => (isUtf8(value) ? kept(value) : value)),
      },
  );
}

/** Part `stage` of a row as Postgres would give it back, in place of a Postgres; throws on what Postgres would refuse. */
export function stored(row: Row, stages: readonly Stage[], stage: number): StoredRow | null {
  const part = partsOf(row)[stage];
  return part === null || part === undefined ? null : storedPart(part, stages[stage]);
}

function storedPart(part: Part, stage: Stage | undefined): StoredRow {
  const { columns } = stage ?? { columns: [] };
  if (part.values.length !== columns.length)
    throw new Error(`${part.values.length} values, ${columns.length} columns`);
  const row: Record<string, StoredValue> = {};
  for (const [index, { name, type }] of columns.entries()) {
    const value = part.values[index] ?? null;
    row[name] = value === null ? null : storedValue(type, isUtf8(value) ? textOf(value) : value);
  }
  return row;
}

function kept({ bytes, from, to }: Utf8): Utf8 {
  return { bytes: Buffer.from(bytes.subarray(from, to)), from: 0, to: to - from };
}

function isUtf8(value: Value): value is Utf8 {
  return typeof value === 'object' && value !== null && 'from' in value && 'to' in value;
}

function textOf({ bytes, from, to }: Utf8): string {
  return new TextDecoder('utf8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(from, to));
}

function storedValue(type: string, value: unknown): StoredValue {
  switch (type) {
    case 'text':
      return text(value);
    case 'text[]':
      return (value as readonly unknown[]).map(text);
    case 'jsonb':
      return jsonb(text(value));
    case 'int4':
      return integer(value, -(2n ** 31n), 2n ** 31n, Number);
    case 'int8':
      return integer(value, -(2n ** 63n), 2n ** 63n, String);
    case 'timestamptz':
      return integer(value, 0n, 253_402_300_800_000n, Number);
    case 'bytea':
      return typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.from(value as Uint8Array);
    case 'uuid':
      if (!/^[0-9a-f]{32}$/.test(String(value))) throw new Error('uuid: expected 32 hex digits');
      return String(value);
    case 'bool':
      if (typeof value !== 'boolean') throw new Error('bool: expected a boolean');
      return value;
    default:
      throw new Error(`no such type: ${type}`);
  }
}

function text(value: unknown): string {
  if (typeof value !== 'string' || value.includes('\0') || !value.isWellFormed()) {
    throw new Error(`postgres refuses ${JSON.stringify(value)}`);
  }
  return value;
}

function integer<T>(value: unknown, least: bigint, beyond: bigint, form: (value: bigint) => T): T {
  const exact = BigInt(value as number | bigint);
  if (exact < least || exact >= beyond) throw new Error(`out of range: ${exact}`);
  return form(exact);
}

/** jsonb forgets white space and the order of keys, drops repeated keys and spells numbers out. */
function jsonb(json: string): string {
  let at = 0;
  const space = () => {
    while (' \t\r\n'.includes(json[at] ?? 'x')) at += 1;
  };
  const token = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(json)?.[0];
    if (found === undefined) throw new Error(`invalid json at ${at}: ${json}`);
    at += found.length;
    return found;
  };
  const value = (depth: number): string => {
    if (depth > 600) throw new Error('stack depth limit exceeded');
    space();
    const mark = json[at];
    let result: string;
    if (mark === '"') result = JSON.stringify(text(JSON.parse(token(/"(?:[^"\\]|\\.)*"/sy))));
    else if (mark === '{' || mark === '[') result = container(mark, depth);
    else result = number(token(/[^\s,\]}]+/y));
    space();
    return result;
  };
  const container = (mark: string, depth: number): string => {
    const members = new Map<string, string>();
    at += 1;
    space();
    for (let index = 0; json[at] !== '}' && json[at] !== ']'; index += 1) {
      space();
      const key = mark === '{' ? text(JSON.parse(token(/"(?:[^"\\]|\\.)*"/sy))) : String(index);
      if (mark === '{') {
        space();
        token(/:/y);
      }
      members.set(key, value(depth + 1));
      if (json[at] === ',') at += 1;
    }
    at += 1;
    if (mark === '[') return `[${[...members.values()].join(', ')}]`;
    const reversed = [...members].reverse();
    return `{${reversed.map(([key, item]) => `${JSON.stringify(key)}: ${item}`).join(', ')}}`;
  };
  return value(0);
}

function number(token: string): string {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token);
  if (parts === null) {
    if (/^(null|true|false)$/.test(token)) return token;
    throw new Error(`invalid json: ${token}`);
  }
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = parts;
  const shift = Number(exponent);
  if (Math.abs(shift) > 131_072) throw new Error(`value overflows numeric format: ${token}`);
  const zeros = '0'.repeat(Math.abs(shift));
  const digits = shift < 0 ? zeros + whole + fraction : whole + fraction + zeros;
  const point = (shift < 0 ? zeros.length + whole.length : whole.length) + shift;
  const integerPart = digits.slice(0, point).replace(/^0+(?=\d)/, '') || '0';
  const rest = digits.slice(point);
  const bare = rest === '' ? integerPart : `${integerPart}.${rest}`;
  return /[1-9]/.test(bare) ? sign + bare : bare;
}
