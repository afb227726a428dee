import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { unescapeText } from '../../src/escape.ts';
import type { Reject } from '../../src/sources/source.ts';
import { rawHash } from '../../src/store/loader.ts';
import { character } from '../hostile.ts';
import { serve } from '../sources/stand.ts';
import { createWorld, START, type World } from '../world.ts';

const rejected = (rawText: string): Reject => ({ reason: 'no_time', timeMs: null, rawText });
const hashOf = (rawText: string) => rawHash(rejected(rawText));
let world: World | null = null;
let stand: Awaited<ReturnType<typeof serve>> | null = null;

afterEach(async () => {
  await world?.close();
  await stand?.close();
  [world, stand] = [null, null];
});

test('the hash of text that is well formed is the MD5 of its bytes, as of all that waits already', () => {
  const text = fc.oneof(
    fc.string({ unit: character }),
    fc.constantFrom('{"a":"\0"}', '{"a":"\ue000"}', '{"a":"\ue000d800"}', '{"a":"\\ud800"}', '😀'),
  );
  fc.assert(
    fc.property(text, (raw) => {
      expect(hashOf(raw)).toBe(createHash('md5').update(raw).digest('hex'));
    }),
  );
});

test('texts that differ, if only in a lone surrogate or in looking like an escaped one, have hashes that differ', () => {
  const unit = fc.constantFrom(
    '\ud800',
    '\ud801',
    '\udc80',
    '\udc81',
    '\ufffd',
    '\ue000',
    'd800',
    'dc80',
    'a',
  );
  const text = fc.array(unit, { maxLength: 4 }).map((units) => units.join(''));
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(hashOf(a) === hashOf(b)).toBe(a === b);
    }),
    { numRuns: 3000 },
  );
});

test('I5: two entries that differ in a byte that is no UTF-8 both wait in quarantine, and once each', async () => {
  // A number that no double holds: the entry waits as it came, not as it would be printed.
  const entry = (byte: number) =>
    Buffer.from(
      `{"messageId":"msg_1","n":12345678901234567890,"state":"CREATED","url":"x${String.fromCharCode(byte)}"}`,
      'latin1',
    );
  stand = await serve((_request, response) => {
    response.writeHead(200, { date: new Date(START).toUTCString() });
    response.end(
      Buffer.concat([
        Buffer.from('{"events":['),
        entry(0x80),
        Buffer.from(','),
        entry(0x81),
        Buffer.from(']}'),
      ]),
    );
  });
  world = await createWorld({ settings: { own: { url: stand.url, token: 't' } as never } });
  for (const again of [null, { from: START - 3_600_000, to: START - 60_000 }]) {
    const [result] = await world.sync({ again });
    expect(result).toMatchObject({ outcome: 'done', totals: { fetched: 2, quarantined: 2 } });
    const waiting = await world.query<{ raw: string }>('select raw from logkeep.quarantine order by raw');
    expect(waiting.map(({ raw }) => unescapeText(raw).slice(-4))).toEqual(['x\udc80"}', 'x\udc81"}']);
  }
});
