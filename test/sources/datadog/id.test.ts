import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeId } from '../../../src/sources/datadog/id.ts';
import { character } from '../../hostile.ts';

interface Recorded {
  readonly id: string;
  readonly decoded: {
    readonly event_ms: number;
    readonly inner: string;
    readonly intake_ms: number;
  };
}

const file = new URL('../../fixtures/datadog/decoded_log_ids.json', import.meta.url);
const recorded = (JSON.parse(readFileSync(file, 'utf8')) as { ids: readonly Recorded[] }).ids;

const INNER = 'AZgNLDMJAAB8ukqUYDo_UwDk';
const FRAGMENT = '01980d34-7ae8-4c8e-b1e3-54d9bc81f215';

/** An id of `layout` 3 or 2; the latter's lengths are padded to `pad` bytes. */
function encode(layout: number, pad = 0): string {
  const head = Buffer.alloc(13);
  head[0] = layout;
  head.writeBigUInt64BE(1_752_567_655_676n, 1);
  head.writeInt32BE(-402_653_300, 9);
  const length = (chars: number) => Buffer.from([...new Array<number>(pad).fill(0), 0, 0, 0, chars]);
  const row = layout === 3 ? Buffer.from([0, 0, 0, 7]) : Buffer.alloc(0);
  return Buffer.concat([
    head,
    length(24),
    Buffer.from(INNER),
    length(36),
    Buffer.from(FRAGMENT),
    row,
  ]).toString('base64url');
}

describe('decodeId', () => {
  test('reads every recorded id as it was decoded by others', () => {
    expect(recorded.length).toBe(59);
    for (const { id, decoded } of recorded) {
      expect(decodeId(id), id).toEqual({
        eventMs: decoded.event_ms,
        innerId: decoded.inner,
        intakeMs: decoded.intake_ms,
      });
    }
  });

  test.each([0, 4])('reads layout 2, its lengths padded by %i bytes', (pad) => {
    expect(decodeId(encode(2, pad))).toEqual({
      eventMs: 1_752_567_655_676,
      innerId: INNER,
      intakeMs: 1_752_567_657_225,
    });
  });

  test('is strict: whatever the change of one character, the id is refused or its bytes are others', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n\0é';
    const ids = [...recorded.slice(0, 6).map((one) => one.id), encode(2, 4), encode(3)];
    fc.assert(
      fc.property(fc.constantFrom(...ids), fc.nat(), fc.constantFrom(...alphabet), (id, place, mark) => {
        const at = place % id.length;
        const changed = id.slice(0, at) + mark + id.slice(at + 1);
        if (changed === id) return;
        if (decodeId(changed) === null) return;
        expect(Buffer.from(changed, 'base64url')).not.toEqual(Buffer.from(id, 'base64url'));
      }),
      { numRuns: 5000 },
    );
  });

  test('refuses ids that are cut, longer, padded, of another alphabet, or of another layout', () => {
    for (const id of [recorded[0]?.id ?? '', encode(2), encode(3)]) {
      for (let length = 0; length < id.length; length += 1) expect(decodeId(id.slice(0, length))).toBeNull();
      for (const tail of ['A', '=', '\n', 'AAAA']) expect(decodeId(id + tail), tail).toBeNull();
    }
    const id = recorded[3]?.id ?? '';
    expect(decodeId(id)).not.toBeNull();
    expect(decodeId(`B${id.slice(1)}`)).toBeNull();
    expect(decodeId(encode(3).replace('_', '/'))).toBeNull();
    expect(decodeId('')).toBeNull();
    expect(decodeId('A'.repeat(1_000_000))).toBeNull();
  });

  test('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: character }), fc.base64String({ minLength: 50, maxLength: 120 })),
        (id) => {
          decodeId(id);
        },
      ),
    );
  });
});
