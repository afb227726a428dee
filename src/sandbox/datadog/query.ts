/** A search as a tree. Patterns are sources of regular expressions. */
export type SearchNode =
  | { readonly kind: 'all' }
  | { readonly kind: 'and' | 'or'; readonly nodes: readonly SearchNode[] }
  | { readonly kind: 'not'; readonly node: SearchNode }
  /** Full text. */
  | { readonly kind: 'text'; readonly pattern: string }
  /** `field:value`; `@` in front of attributes, `*` for any. */
  | { readonly kind: 'field'; readonly field: string; readonly pattern: string; readonly exists: boolean }
  /** `field:>=5`, `field:[1 TO 5]`; bounds in order of comparison. */
  | {
      readonly kind: 'range';
      readonly field: string;
      readonly low: number;
      readonly high: number;
      readonly lowIn: boolean;
      readonly highIn: boolean;
    };

/** What is wrong with a search, and where. */
export class SearchSyntaxError extends Error {}

/**
 * Parses terms, quoted phrases, `field:value`, `@attr:value`, wildcards, ranges, AND, OR, NOT, `-` and
 * parentheses. AND (also unsaid) binds closer than OR. Throws SearchSyntaxError.
 */
export function parseSearch(text: string): SearchNode {
  let at = 0;
  const fail = (what: string): never => {
    throw new SearchSyntaxError(`${what} at position ${at}`);
  };
  const space = (): void => {
    while (at < text.length && /\s/.test(text[at] as string)) at++;
  };
  const word = (which: string): boolean => {
    space();
    if (
      !text.startsWith(which, at) ||
      !/^[\s("]|^$/.test(text.slice(at + which.length, at + which.length + 1))
    ) {
      return false;
    }
    at += which.length;
    return true;
  };

  const either = (field: string | null): SearchNode => {
    const nodes = [both(field)];
    while (word('OR')) nodes.push(both(field));
    return nodes.length === 1 ? (nodes[0] as SearchNode) : { kind: 'or', nodes };
  };
  const both = (field: string | null): SearchNode => {
    const nodes = [unary(field)];
    for (;;) {
      const said = word('AND');
      space();
      const here = at;
      const ends = at >= text.length || text[at] === ')' || word('OR');
      at = here;
      if (ends && said) fail('expected a term after AND');
      if (ends) return nodes.length === 1 ? (nodes[0] as SearchNode) : { kind: 'and', nodes };
      nodes.push(unary(field));
    }
  };
  const unary = (field: string | null): SearchNode => {
    if (word('NOT')) return { kind: 'not', node: unary(field) };
    space();
    if (text[at] === '-' && /\S/.test(text[at + 1] ?? '')) {
      at++;
      return { kind: 'not', node: unary(field) };
    }
    return group(field) ?? term(field);
  };
  const group = (field: string | null): SearchNode | null => {
    if (text[at] !== '(') return null;
    at++;
    const node = either(field);
    space();
    if (text[at] !== ')') fail('expected )');
    at++;
    return node;
  };
  const term = (field: string | null): SearchNode => {
    if (at >= text.length || text[at] === ')') fail('expected a term');
    const name = field === null ? /^(@?[^\s:()"[\]]+|\*):/.exec(text.slice(at, at + 300)) : null;
    if (name !== null) {
      at += name[0].length;
      const inner = (name[1] as string).replace(/\\(.)/g, '$1');
      return group(inner) ?? value(inner);
    }
    if (field !== null) return value(field);
    if (text[at] === '"') return { kind: 'text', pattern: quoted() };
    const raw = bare();
    if (raw === 'AND' || raw === 'OR') fail(`expected a term before ${raw}`);
    return raw === '*' ? { kind: 'all' } : { kind: 'text', pattern: patternOf(raw) };
  };
  const value = (field: string): SearchNode => {
    if (text[at] === '"') return { kind: 'field', field, pattern: quoted(), exists: false };
    const range = /^([[{])\s*(\S+)\s+TO\s+([^\s\]}]+)\s*([\]}])/.exec(text.slice(at, at + 300));
    if (range !== null) {
      at += range[0].length;
      const [, open, low, high, close] = range;
      return {
        kind: 'range',
        field,
        low: bound(low as string, Number.NEGATIVE_INFINITY),
        high: bound(high as string, Number.POSITIVE_INFINITY),
        lowIn: open === '[',
        highIn: close === ']',
      };
    }
    const comparison = /^([<>]=?)(-?[\d.]+)/.exec(text.slice(at, at + 100));
    if (comparison !== null) {
      at += comparison[0].length;
      const limit = Number(comparison[2]);
      const above = (comparison[1] as string).startsWith('>');
      const inclusive = (comparison[1] as string).endsWith('=');
      return {
        kind: 'range',
        field,
        low: above ? limit : Number.NEGATIVE_INFINITY,
        high: above ? Number.POSITIVE_INFINITY : limit,
        lowIn: inclusive,
        highIn: inclusive,
      };
    }
    const raw = bare();
    if (raw === '') fail(`expected a value for ${field}`);
    return { kind: 'field', field, pattern: patternOf(raw), exists: raw === '*' };
  };
  const bound = (raw: string, open: number): number => {
    const limit = raw === '*' ? open : Number(raw);
    return Number.isNaN(limit) ? fail(`expected a number instead of ${raw}`) : limit;
  };
  const quoted = (): string => {
    const end = /^"((?:[^"\\]|\\[\s\S])*)"/.exec(text.slice(at));
    if (end === null) return fail('expected a closing quote');
    at += end[0].length;
    return escapePattern((end[1] as string).replace(/\\([\s\S])/g, '$1'));
  };
  const bare = (): string => {
    const start = at;
    while (at < text.length && !/[\s()"]/.test(text[at] as string)) at += text[at] === '\\' ? 2 : 1;
    if (at === start && text[at] !== undefined) fail(`unexpected ${text[at]}`);
    return text.slice(start, at);
  };

  space();
  if (at >= text.length) return { kind: 'all' };
  const tree = either(null);
  space();
  if (at < text.length) fail(`unexpected ${text[at]}`);
  return tree;
}

function patternOf(raw: string): string {
  return raw.replace(/\\([\s\S])|([*?])|([^\\*?]+)/g, (_, escaped?: string, wild?: string, plain?: string) =>
    wild === '*' ? '[\\s\\S]*' : wild === '?' ? '[\\s\\S]' : escapePattern(escaped ?? plain ?? ''),
  );
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
