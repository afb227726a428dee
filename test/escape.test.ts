import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  escapeJson,
  escapeText,
  isPlainJson,
  needsEscape,
  unescapeJson,
  unescapeText,
} from '../src/escape.ts';
import { equalJson } from '../src/json.ts';
import { character, hostileJson } from './hostile.ts';

const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\0', '\ue000', '\ud800', '\udbff', '\udc00', '\udfff', '\ud83d\ude00', 'a', '0', 'é'),
    character,
  ),
});

describe('escaping text', () => {
  test.each([
    ['a\0b', 'a\ue0000000b'],
    ['\ue000', '\ue000e000'],
    ['\ud800', '\ue000d800'],
    ['\udc00\ud83d', '\ue000dc00\ue000d83d'],
    ['\ud83d\ude00', '\ud83d\ude00'],
    ['\ud83d\ud83d\ude00', '\ue000d83d\ud83d\ude00'],
    ['plain', 'plain'],
  ])('%j becomes %j, in lower case', (original, escaped) => {
    expect(escapeText(original)).toBe(escaped);
  });

  test('what Postgres refuses never remains, and unescaping gives the original back', () => {
    fc.assert(
      fc.property(text, (original) => {
        const escaped = escapeText(original);
        expect(escaped.includes('\0')).toBe(false);
        expect(escaped.isWellFormed()).toBe(true);
        expect(unescapeText(escaped)).toBe(original);
        expect(escaped !== original).toBe(needsEscape(original));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('escaping JSON', () => {
  test('keys and values are escaped, in every spelling of them', () => {
    expect(escapeJson('{"a\\u0000":["\\uD800",{"\ue000":"\\uE000"}]}')).toBe(
      '{"a\ue0000000":["\ue000d800",{"\ue000e000":"\ue000e000"}]}',
    );
  });

  test('a backslash before u0000 is only text', () => {
    expect(escapeJson('{"a":"\\\\u0000"}')).toBe('{"a":"\\\\u0000"}');
  });

  test('text with nothing to escape stays the same string', () => {
    const json = '{"a" : "\\ud83d\\ude00 \\u00e9"}';
    expect(escapeJson(json)).toBe(json);
  });

  test('what jsonb refuses never remains, and unescaping gives the original back', () => {
    fc.assert(
      fc.property(hostileJson, (json) => {
        const escaped = escapeJson(json);
        JSON.parse(escaped, function (this: unknown, key: string, value: unknown) {
          for (const part of [key, value]) {
            if (typeof part === 'string' && (part.includes('\0') || !part.isWellFormed()))
              throw new Error(part);
          }
          return value;
        });
        expect(equalJson(unescapeJson(escaped), json)).toBe(true);
        if (isPlainJson(json)) expect(escaped).toBe(json);
      }),
      { numRuns: 2000 },
    );
  });
});
