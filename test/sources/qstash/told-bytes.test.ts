import fc from 'fast-check';
import { expect, test } from 'vitest';
import { told } from '../../../src/sources/qstash/told.ts';
import { ToldBytes } from '../../../src/sources/qstash/told-bytes.ts';

const content = new ToldBytes();

/** What the headers of `json` are told as; null where they are not. */
function headers(json: string): string | null {
  const bytes = Buffer.from(`..${json}..`);
  content.clear();
  return content.headers(bytes, 2, bytes.length - 2) ? content.bytes.toString() : null;
}

/** Names that are beginnings of others, and that sort otherwise than they come. */
const plain = fc.stringMatching(/^[ !#-[\]-~]{0,40}$/);
const name = fc.oneof(plain, fc.constantFrom('a', 'ab', 'aB', 'Content-Type', 'Content', 'content-type'));

test('headers of one value each are told from their bytes as they are told from what they parse to', () => {
  fc.assert(
    fc.property(fc.dictionary(name, fc.tuple(plain), { maxKeys: 12 }), (value) => {
      expect(headers(JSON.stringify(value))).toBe(told(value, undefined));
    }),
  );
});

test('nothing is told of an object that is anything but headers of one value each', () => {
  const others = ['{"a":["b","c"]}', '{"a":[]}', '{"a":"b"}', '{"a":[1]}', '{ "a":["b"]}', '{"a": ["b"]}'];
  for (const json of [...others, '{"a":["b"] }', '{"a":["b"],"c":{}}', '["a"]', '{"a":[["b"]]}']) {
    expect(headers(json)).toBe(null);
    expect(content.bytes.length).toBe(0);
  }
});

test('texts and integers of any length are told as they are told from what they parse to', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(plain, fc.maxSafeInteger()), { maxLength: 30 }), (values) => {
      content.clear();
      let expected = '';
      for (const value of values) {
        const bytes = Buffer.from(`"${value}"`);
        if (typeof value === 'number') content.integer(bytes, 1, bytes.length - 1);
        else content.text(bytes, 1, bytes.length - 1);
        content.told(told(value, undefined));
        expected += told(value, undefined).repeat(2);
      }
      expect(content.bytes.toString()).toBe(expected);
    }),
  );
  const long = 'x'.repeat(100_000);
  content.clear();
  content.text(Buffer.from(long), 0, long.length);
  expect(content.bytes.toString()).toBe(told(long, undefined));
});

test('what was told is what is there now, also after something long', () => {
  const content = new ToldBytes();
  const say = (text: string) => {
    content.clear();
    content.text(Buffer.from(text), 0, text.length);
    return content.bytes.toString();
  };
  for (const text of ['one', 'two', 'x'.repeat(100_000), 'six', 'y'.repeat(2_000_000), 'ten'])
    expect(say(text)).toBe(told(text, undefined));
});
