import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRedactor, REDACTED_HEADERS } from '../../../src/redact.ts';
import { headersJson } from '../../../src/sources/fields.ts';
import { ShownHeaders } from '../../../src/sources/qstash/shown-headers.ts';
import { endMember, firstMember } from '../../../src/tape/tape.ts';
import { Texts } from '../../../src/tape/texts.ts';
import { entriesOf } from '../entries.ts';

const NOWHERE = { bytes: Buffer.alloc(0), from: 0, to: 0 };
const withList = (list: readonly string[]) => {
  const redactor = createRedactor(Buffer.alloc(32, 7), list);
  return { redactor, headers: new ShownHeaders(redactor, new Texts()) };
};
const all = withList(REDACTED_HEADERS);
const lists = [['x-y'], ['a', 'x-y', 'x-token'], [...REDACTED_HEADERS, 'y-a'], []].map(withList);

/** The JSON that an entry's headers are shown as; null where they are not as usual. */
function show(json: string, { headers } = all): string | null {
  const { tape } = entriesOf(`{"events":[{"header":${json}}]}`, ['events']);
  const member = tape === null ? -1 : firstMember(tape, 0);
  if (tape === null || member !== endMember(tape, 0) - 1) throw new Error(`no one member: ${json}`);
  const slot = { ...NOWHERE };
  if (!headers.show(slot, tape, member)) return null;
  return slot.bytes.toString('utf8', slot.from, slot.to);
}

const part = fc.constantFrom(
  ...[
    'token',
    'api-key',
    'apikey',
    'secret',
    'signature',
    '256',
    'x',
    'y',
    'authorization',
    'cookie',
    'a',
    'é',
  ],
);
const prefix = fc.constantFrom('Upstash-Forward-', 'upstash-failure-callback-forward-', 'Forward-', ' ');
const name = fc
  .tuple(
    fc.array(prefix, { maxLength: 2 }),
    fc.array(part, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('-', '_'),
    fc.boolean(),
    fc.constantFrom('', ' ', '  '),
  )
  .map(([prefixes, parts, between, upper, behind]) => {
    const spelled = parts.join(between);
    return prefixes.join('') + (upper ? spelled.toUpperCase() : spelled) + behind;
  });
const value = fc.oneof(fc.stringMatching(/^[ !#-[\]-~]{0,300}$/), fc.constantFrom('', 'ü', 'Bearer a-token'));

test('headers of one value each are shown from their bytes as what they parse to is shown, whatever is hidden', () => {
  let [hidden, open] = [0, 0];
  fc.assert(
    fc.property(
      fc.dictionary(name, fc.tuple(value), { maxKeys: 12 }),
      fc.constantFrom(all, ...lists),
      (headers, given) => {
        const expected = headersJson(headers, given.redactor);
        expect(JSON.parse(show(JSON.stringify(headers), given) ?? 'null')).toEqual(JSON.parse(expected));
        if (expected.includes('REDACTED')) hidden += 1;
        else open += 1;
      },
    ),
    { numRuns: 2_000 },
  );
  expect(Math.min(hidden, open)).toBeGreaterThan(300);
});

test('an object that is anything but headers of one value each is left to be parsed', () => {
  const others = ['{"a":["b","c"]}', '{"a":[]}', '{"a":"b"}', '{"a":[1]}', '{ "a":["b"]}', '{"a": ["b"]}'];
  for (const json of [...others, `{"a":["${'x'.repeat(20_000)}"]}`]) expect(show(json)).toBe(null);
});
