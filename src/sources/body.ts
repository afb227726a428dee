import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { LogkeepError } from '../errors.ts';
import { giveBytesBack, takeBytes } from './spare-bytes.ts';

/** A decoded body is at most as long as a string may be in every Node that is supported. */
const LONGEST = 512 * 1024 * 1024 - 64;

type Decoder = (data: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECODERS: ReadonlyMap<string, Decoder> = new Map([
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
 * Takes a body as it comes. Never holds more than `maxBytes` of it: a longer one, and a gzip bomb, is kind `oversize`. A
 * body that does not decompress to its end was cut: kind `unavailable`.
 */
export class BodyReader {
  readonly #cap: number;
  readonly #decode: Decoder | null;
  #held: Buffer;
  #length = 0;

  constructor(headers: IncomingHttpHeaders, maxBytes: number) {
    this.#cap = Math.min(maxBytes, LONGEST);
    this.#decode = decoderOf(headers['content-encoding']);
    const promised = Number(headers['content-length']);
    if (promised > this.#cap) throw tooLong(this.#cap);
    this.#held = takeBytes(promised > 0 ? promised : 0);
  }

  /** The next part; it is copied. */
  add(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#cap) throw tooLong(this.#cap);
    if (needed > this.#held.length) {
      const larger = takeBytes(Math.max(needed, this.#held.length * 2));
      this.#held.copy(larger, 0, 0, this.#length);
      giveBytesBack(this.#held);
      this.#held = larger;
    }
    this.#held.set(chunk, this.#length);
    this.#length = needed;
  }

  /** All of it. */
  async end(): Promise<DecodedBody> {
    const raw = this.#held.subarray(0, this.#length);
    const decoded = this.#decode === null ? raw : await inflateWithin(this.#decode, raw, this.#cap);
    // A byte order mark is no JSON; JSON.parse would refuse it.
    const start = decoded[0] === 0xef && decoded[1] === 0xbb && decoded[2] === 0xbf ? 3 : 0;
    const release = () => giveBytesBack(raw);
    return { body: start === 0 ? decoded : decoded.subarray(start), bytes: decoded.length, release };
  }
}

/** Null: the body comes as it is. */
function decoderOf(header: string | string[] | undefined): Decoder | null {
  // Two headers mean two encodings, one within the other.
  const encoding = String(header ?? '')
    .trim()
    .toLowerCase();
  const decoder = DECODERS.get(encoding);
  if (decoder === undefined && encoding !== '' && encoding !== 'identity') {
    throw new LogkeepError(
      'protocol',
      `content-encoding ${JSON.stringify(encoding.slice(0, 40))}: expected gzip`,
    );
  }
  return decoder ?? null;
}

async function inflateWithin(decode: Decoder, raw: Buffer, cap: number): Promise<Buffer> {
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
