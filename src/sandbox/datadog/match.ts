import type { DatadogStored } from './ledger.ts';
import { parseSearch, type SearchNode } from './query.ts';

type Test = (log: DatadogStored) => boolean;
type Fields = Readonly<Record<string, unknown>>;

const RESERVED: ReadonlySet<string> = new Set(['host', 'service', 'message', 'timestamp']);
const parsed = new WeakMap<DatadogStored, Fields>();

/** Whether a log matches the search; throws SearchSyntaxError. */
export function compileSearch(query: string): Test {
  return compile(parseSearch(query));
}

function compile(node: SearchNode): Test {
  switch (node.kind) {
    case 'all':
      return () => true;
    case 'and': {
      const tests = node.nodes.map(compile);
      return (log) => tests.every((test) => test(log));
    }
    case 'or': {
      const tests = node.nodes.map(compile);
      return (log) => tests.some((test) => test(log));
    }
    case 'not': {
      const test = compile(node.node);
      return (log) => !test(log);
    }
    case 'text': {
      // A term meets whole words: `-` and `.` end a word, as letters and digits do not.
      const words = new RegExp(`(?<![\\p{L}\\p{N}_])(?:${node.pattern})(?![\\p{L}\\p{N}_])`, 'iu');
      return (log) => words.test(`${contentOf(log).message ?? ''}`);
    }
    case 'field': {
      const whole = new RegExp(`^(?:${node.pattern})$`, 'u');
      if (node.exists) return (log) => valuesOf(log, node.field).length > 0;
      return (log) => valuesOf(log, node.field).some((value) => whole.test(value));
    }
    case 'range':
      return (log) =>
        valuesOf(log, node.field).some((text) => {
          const value = Number(text);
          const above = node.lowIn ? value >= node.low : value > node.low;
          return above && (node.highIn ? value <= node.high : value < node.high);
        });
  }
}

function valuesOf(log: DatadogStored, field: string): readonly string[] {
  const content = contentOf(log);
  if (field === 'id') return [log.id];
  if (field === 'status') return [typeof content.status === 'string' ? content.status : log.status];
  if (RESERVED.has(field)) return leaves(content[field]);
  if (field.startsWith('@')) return leaves(pathOf(content.attributes, field.slice(1)));
  if (field === '*') return [...leaves(content.message), ...deepLeaves(content.attributes)];
  const tags = Array.isArray(content.tags) ? content.tags : [];
  if (field === 'tags') return leaves(tags);
  const prefix = `${field}:`;
  return tags.flatMap((tag) => (`${tag}`.startsWith(prefix) ? [`${tag}`.slice(prefix.length)] : []));
}

function pathOf(value: unknown, path: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as Fields;
  if (Object.hasOwn(fields, path)) return fields[path];
  const dot = path.indexOf('.');
  return dot < 0 ? undefined : pathOf(fields[path.slice(0, dot)], path.slice(dot + 1));
}

function leaves(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(leaves);
  if (value === undefined || value === null) return [];
  return typeof value === 'object' ? [JSON.stringify(value)] : [`${value}`];
}

function deepLeaves(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return leaves(value);
  return Object.values(value).flatMap(deepLeaves);
}

function contentOf(log: DatadogStored): Fields {
  let content = parsed.get(log);
  if (content === undefined) {
    const whole = parse(log.text);
    content = isFields(whole) && isFields(whole.content) ? whole.content : {};
    parsed.set(log, content);
  }
  return content;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Integers beyond 2^53 are kept as their text, so that a search for a trace id meets every digit. */
function parse(text: string): unknown {
  const exact = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? context?.source
      : value;
  try {
    return /\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
  } catch {
    // A reviver cannot go as deep as the parser.
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }
}
