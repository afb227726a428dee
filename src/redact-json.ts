import { elementTexts, skipSpace, stringEnd, stringValue, valueEnd } from './json-scan.ts';
import type { Redactor } from './redact.ts';

/** Valid JSON text with the values of hidden names hidden, at any depth; the same text where there are none. */
export function redactJson(json: string, redactor: Redactor): string {
  let result = '';
  let done = 0;
  for (let at = json.indexOf('"'); at >= 0; ) {
    const end = stringEnd(json, at);
    const colon = skipSpace(json, end);
    if (json[colon] === ':' && redactor.hides(stringValue(json, at, end))) {
      const from = skipSpace(json, colon + 1);
      const to = valueEnd(json, from);
      result += json.slice(done, from) + hiddenJson(json.slice(from, to), redactor);
      done = to;
      at = json.indexOf('"', to);
    } else {
      at = json.indexOf('"', end);
    }
  }
  return result + json.slice(done);
}

/** A hidden name's value as JSON text: strings hidden one by one, null as it is, anything else as a whole. */
export function hiddenJson(json: string, redactor: Redactor): string {
  if (json.startsWith('[')) {
    return `[${elementTexts(json)
      .map((element) => hiddenScalar(element, redactor))
      .join()}]`;
  }
  return hiddenScalar(json, redactor);
}

function hiddenScalar(json: string, redactor: Redactor): string {
  if (json === 'null') return json;
  const content = json.startsWith('"') ? stringValue(json, 0, json.length) : json;
  return JSON.stringify(redactor.hide(content));
}
