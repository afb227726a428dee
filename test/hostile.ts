import fc from 'fast-check';

// JSON as text, since the worst of it cannot be said by a JavaScript value.

/** Whole strings that somebody stores, looks for, or breaks on. */
const STRINGS = [
  '',
  'a',
  'null',
  '\0',
  'a\0b',
  '\ue000',
  '\ue0000000',
  '\ud83d\ude00',
  '\ud83d',
  '\ude00\ud83d',
  '"quoted": "text"',
  '\\',
  '\\u0000',
  '<a&b>',
  '\u2028',
  'é\u0301',
  '{"a":1e400}',
  ':',
];

const NUMBERS = [
  '0',
  '-0',
  '1',
  '-1',
  '200',
  '1.0',
  '1.50',
  '0.1',
  '1e3',
  '1E+3',
  '1e400',
  '-1e-400',
  '1e99999',
  '1e999999999999999999999',
  '9007199254740993',
  '12345678901234567890',
  '9223372036854775807',
  '9223372036854775808',
  '0.30000000000000004',
  '0.1000000000000000055511151231257827',
  '2147483647',
  '2147483648',
  '1700000000000',
  '1700000000000.5',
  '253402300800000',
  '-62135596800000',
  '123456789012345678901234567890e-20',
];

/** Any character; fast-check's own (`unit: 'binary'`) makes a table of a million, 100 MB, for each string of them. */
export const character: fc.Arbitrary<string> = fc
  .oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0, max: 0xd7ff }),
    fc.integer({ min: 0xe000, max: 0x10ffff }),
  )
  .map((code) => String.fromCodePoint(code));

/** A string in any of the spellings that JSON allows. */
export const hostileString: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof(fc.constantFrom(...STRINGS), fc.string({ unit: character, maxLength: 8 })),
    fc.constantFrom('short', 'escaped', 'upper'),
  )
  .map(([text, spelling]) => spell(text, spelling));

export const hostileNumber: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...NUMBERS),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.integer().map(String),
);

/** Any JSON, a few levels deep, keys repeated now and then, white space wherever it may be. */
export const hostileJson: fc.Arbitrary<string> = fc.letrec<{ json: string; object: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom('null', 'true', 'false', '{}', '[]', '{ }', '[ ]'),
    hostileString,
    hostileNumber,
    fc.array(tie('json'), { maxLength: 3 }).map((items) => `[${items.join(' , ')}]`),
    tie('object'),
  ),
  object: fc
    .array(fc.tuple(hostileString, tie('json')), { maxLength: 4 })
    .map((members) => objectText(members)),
})).json;

/** An object's text; `name` is a JSON string already. */
export function objectText(members: readonly (readonly [name: string, value: string])[]): string {
  return `{${members.map(([name, value]) => `${name}:${value}`).join(',\n')}}`;
}

/** So many arrays or objects, one in another. */
export function nested(depth: number): string {
  return `${'{"a":['.repeat(depth)}0${']}'.repeat(depth)}`;
}

function spell(text: string, spelling: string): string {
  if (spelling === 'short') return JSON.stringify(text);
  let json = '"';
  for (let at = 0; at < text.length; at += 1) {
    const hex = text.charCodeAt(at).toString(16).padStart(4, '0');
    json += `\\u${spelling === 'upper' ? hex.toUpperCase() : hex}`;
  }
  return `${json}"`;
}
