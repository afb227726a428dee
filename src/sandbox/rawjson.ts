/** A member of a JSON object, cut out of its text. */
export interface RawMember {
  readonly key: string;
  /** The value's text, to the byte. */
  readonly text: string;
  /** Where the value begins and ends in the object's text. */
  readonly start: number;
  readonly end: number;
}

/** The members of the JSON object `text`, repeated keys included; null if it is not an object. Any depth. */
export function rawMembers(text: string): readonly RawMember[] | null {
  const members: RawMember[] = [];
  let at = skipSpace(text, 0);
  if (text[at] !== '{') return null;
  at = skipSpace(text, at + 1);
  if (text[at] === '}') return members;
  for (;;) {
    if (text[at] !== '"') return null;
    const keyEnd = skipString(text, at);
    const key = parseKey(text.slice(at, keyEnd));
    at = skipSpace(text, keyEnd);
    if (key === null || text[at] !== ':') return null;
    const start = skipSpace(text, at + 1);
    const end = skipValue(text, start);
    if (end === start) return null;
    members.push({ key, text: text.slice(start, end), start, end });
    at = skipSpace(text, end);
    if (text[at] === '}') return members;
    if (text[at] !== ',') return null;
    at = skipSpace(text, at + 1);
  }
}

function parseKey(text: string): string | null {
  try {
    const key: unknown = JSON.parse(text);
    return typeof key === 'string' ? key : null;
  } catch {
    return null;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return at;
}

function skipString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function skipValue(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const char = text[at];
    if (char === '"') {
      at = skipString(text, at);
      continue;
    }
    if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') {
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (char === ',' && depth === 0) return at;
    else if (depth === 0 && (char === ' ' || char === '\n' || char === '\r' || char === '\t')) return at;
    at++;
  }
  return at;
}
