import { stringEnd } from './json-scan.ts';

// Postgres text and jsonb refuse NUL and lone surrogates. Each becomes MARK and four hex digits; so does MARK
// itself, which makes the way back unambiguous.
const MARK = '\ue000';
const REFUSED = /[\0\ue000]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const ESCAPED = /\ue000([0-9a-f]{4})/g;

/** Whether Postgres would refuse `text`, or take it for an escaped one. */
export function needsEscape(text: string): boolean {
  return text.includes('\0') || text.includes(MARK) || !text.isWellFormed();
}

/** `text` as Postgres can hold it; the same string where nothing is to do. */
export function escapeText(text: string): string {
  if (!needsEscape(text)) return text;
  return text.replace(REFUSED, (unit) => MARK + unit.charCodeAt(0).toString(16).padStart(4, '0'));
}

/** What `escapeText` was given. */
export function unescapeText(text: string): string {
  if (!text.includes(MARK)) return text;
  return text.replace(ESCAPED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** True: no string of this JSON text needs escaping. False: look closer. Cheap enough for a whole answer. */
export function isPlainJson(json: string): boolean {
  if (json.includes(MARK) || !json.isWellFormed()) return false;
  return !json.includes('\\u') || !/\\u(?:0000|[dD][89a-fA-F]|[eE]000)/.test(json);
}

/** JSON text with its strings and keys escaped for jsonb; the same text where nothing is to do. */
export function escapeJson(json: string): string {
  return isPlainJson(json) ? json : mapStrings(json, escapeText);
}

/** What `escapeJson` was given, as JSON: the spelling of strings may differ. */
export function unescapeJson(json: string): string {
  return json.includes(MARK) || json.includes('\\u') ? mapStrings(json, unescapeText) : json;
}

function mapStrings(json: string, change: (text: string) => string): string {
  let result = '';
  let done = 0;
  for (let at = json.indexOf('"'); at >= 0; ) {
    const end = stringEnd(json, at);
    const token = json.slice(at, end);
    const text = JSON.parse(token) as string;
    const changed = change(text);
    if (changed !== text) {
      result += json.slice(done, at) + JSON.stringify(changed);
      done = end;
    }
    at = json.indexOf('"', end);
  }
  return result + json.slice(done);
}
