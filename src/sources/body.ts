import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { LogkeepError } from '../errors.ts';
import { giveBytesBack, takeBytes } from './spare-bytes.ts';

/** A decoded body is at most as long as a string may be in every Node that is supported. */
const LONGEST = 512 * 1024 * 1024 - 64;

const DECODERS = new Map([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
  ['br', promisify(brotliDecompress)],
]);

/** A body, decoded and without a byte order mark. */
export interface DecodedBody {
  readonly body: Buffer;
  /** Its decoded length. */
  readonly bytes: number;
  /** Gives its memory to the next body: nothing may be read from it any more. Need not be called. */
  readonly release: () => void;
}

/**
 * Reads a body. Never holds more than `maxBytes` of it: a longer one, and a gzip bomb, is kind `oversize`. A body that
 * does not decompress to its end was cut: kind `unavailable`.
 */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  headers: IncomingHttpHeaders,
  maxBytes: number,
): Promise<DecodedBody> {
  const cap = Math.min(maxBytes, LONGEST);
  const encoding = (headers['content-encoding'] ?? '').trim().toLowerCase();
  const decode = DECODERS.get(encoding);
  if (decode === undefined && encoding !== '' && encoding !== 'identity') {
    throw new LogkeepError(
      'protocol',
      `content-encoding ${JSON.stringify(encoding.slice(0, 40))}: expected gzip`,
    );
  }
  const told = Number(headers['content-length']);
  if (told > cap) throw tooLong(cap); // leaving the body unread closes the connection
  const raw = await collect(body, cap, told);
  const decoded = decode === undefined ? raw : await inflateWithin(decode, raw, cap);
  // A byte order mark is no JSON; JSON.parse would refuse it.
  const start = decoded[0] === 0xef && decoded[1] === 0xbb && decoded[2] === 0xbf ? 3 : 0;
  const release = () => giveBytesBack(raw);
  return { body: start === 0 ? decoded : decoded.subarray(start), bytes: decoded.length, release };
}

/** Puts a body together as it comes; `told` is the length that its headers promise, NaN where they do not. */
async function collect(body: AsyncIterable<Uint8Array>, cap: number, told: number): Promise<Buffer> {
  let held = takeBytes(told > 0 ? told : 0);
  let length = 0;
  for await (const chunk of body) {
    const needed = length + chunk.length;
    if (needed > cap) throw tooLong(cap); // ends the loop, which destroys the stream
    if (needed > held.length) {
      const larger = takeBytes(Math.max(needed, held.length * 2));
      held.copy(larger, 0, 0, length);
      giveBytesBack(held);
      held = larger;
    }
    held.set(chunk, length);
    length = needed;
  }
  return held.subarray(0, length);
}

async function inflateWithin(
  decode: (data: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>,
  raw: Buffer,
  cap: number,
): Promise<Buffer> {
  if (raw.length === 0) return raw;
  try {
    return await decode(raw, { maxOutputLength: cap });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong(cap);
    throw new LogkeepError('unavailable', 'the compressed body is damaged or was cut', { cause: error });
  }
}

function tooLong(cap: number): LogkeepError {
  return new LogkeepError('oversize', `the body is longer than ${cap} bytes`);
}
