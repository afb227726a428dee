import type { IncomingHttpHeaders } from 'node:http';
import { errors, type Pool } from 'undici';
import type { Clock } from '../clock.ts';
import { EARLIEST_MS, LATEST_MS } from '../durations.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Ms } from '../model.ts';
import { readUtf8 } from '../utf8.ts';
import { BodyReader } from './body.ts';
import type { Body } from './entries.ts';
import { numberOf, valuesOf } from './headers.ts';
import type { QuotaGate } from './quota.ts';
import type { Allowance, Answered } from './ration.ts';
import { LATE, receive, type Sending, SLOW } from './receive.ts';
import { refusalError, type Sense, withoutSecrets } from './refusal.ts';
import type { RequestOptions } from './source.ts';

/** What one stream's requests have in common, and what its source knows of the API's answers. */
export interface Api {
  /** The stream, as messages name it. */
  readonly label: string;
  readonly credential: QuotaGate;
  /** Header values that no message may quote. */
  readonly secrets: readonly string[];
  /** What may be amiss at a 401 or 403. */
  readonly authHint: string;
  readonly maxBodyBytes: number;
  readonly timeoutMs: number;
  /** How long one request may be tried again; waits for quota are not counted. */
  readonly retryMs: number;
  /** `refused`: for want of quota, so that nothing is left where it is told when the window ends, and not what is left. */
  allowance(
    headers: IncomingHttpHeaders,
    at: { readonly now: Ms; readonly dateMs: Ms | null; readonly refused: boolean },
  ): Allowance | null;
  /** What an error body means beyond its status. */
  sense(status: number, text: string): Sense;
}

/** One request of a stream, and who waits for it. */
export interface HttpRequest extends RequestOptions {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Whether the request asks for a place in a chain: a 400 then means that the place is lost. */
  readonly hasCursor: boolean;
  /** Whether less can be asked for instead: an answer that begins, but is too slow to end in time, is then the end. */
  readonly divisible?: boolean;
  /** Called whenever the gate is about to let a try go: what it throws is the end, and nothing is sent. */
  readonly onTurn?: () => void;
}

/** A complete answer with status 200. */
export interface HttpAnswer extends Body {
  /** Length of the decoded body. */
  readonly bytes: number;
  /** The Date header, from 2000 to 9999; null where it is missing, or no date as HTTP writes them. */
  readonly dateMs: Ms | null;
}

const REFUSAL_BYTES = 64 * 1024;

/** What an answer says before its body. */
interface Head {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly dateMs: Ms | null;
  readonly retryAfterMs: number | null;
  readonly allowance: (refused: boolean) => Allowance | null;
}

/**
 * One try of one request, within `timeoutMs` from its start to the last byte of its body. Tells `answered` what the
 * headers say of the quota as soon as they are known. Rejects with LogkeepError; after an abort with any error.
 */
export async function exchange(
  pool: Pool,
  clock: Clock,
  api: Api,
  r: HttpRequest,
  answered: (answer: Answered) => void,
): Promise<HttpAnswer> {
  const sending: Sending = {
    pool,
    request: {
      path: r.url.pathname + r.url.search,
      method: r.method,
      headers: { 'accept-encoding': 'gzip', accept: 'application/json', ...r.headers },
      body: r.body ?? null,
    },
    signal: r.signal,
    timeoutMs: api.timeoutMs,
  };
  const got: { head: Head | null; reader: BodyReader | null } = { head: null, reader: null };
  try {
    await receive(sending, (status, headers) => {
      got.head = headOf(api, clock, status, headers);
      if (status === 200) {
        const { retryAfterMs, allowance } = got.head;
        answered({ kind: 'ok', allowance: allowance(false), retryAfterMs });
      }
      got.reader = new BodyReader(headers, status === 200 ? api.maxBodyBytes : REFUSAL_BYTES);
      return got.reader;
    });
    if (got.head?.status === 200 && got.reader !== null) return await answerOf(got.head, got.reader);
  } catch (error) {
    // A refusal counts although its body was cut or is too long, but is not quoted: a part may end within a secret.
    if (got.head === null || got.head.status === 200) throw explained(api, r, error);
    got.reader = null;
  }
  if (got.head === null) throw new Error('an answer ended without a status');
  throw await refusalOf(api, r, got.head, got.reader, answered);
}

function headOf(api: Api, clock: Clock, status: number, headers: IncomingHttpHeaders): Head {
  const dateMs = parseDate(headers.date);
  const pauseMs = retryAfterMs(headers['retry-after'], dateMs ?? clock.now());
  const now = clock.now();
  return {
    status,
    headers,
    dateMs,
    // Only a 429 may hold us back for long: the rest must end as `unavailable` within the retry time.
    retryAfterMs: pauseMs === null || status === 429 ? pauseMs : Math.min(pauseMs, 60_000),
    allowance: (refused) => api.allowance(headers, { now, dateMs, refused }),
  };
}

async function answerOf({ dateMs }: Head, reader: BodyReader): Promise<HttpAnswer> {
  const { body, bytes, release } = await reader.end();
  return {
    body,
    get text() {
      return readUtf8(body);
    },
    bytes,
    dateMs,
    release,
  };
}

/** The error that a refusal is; what its headers say of the quota is told first. */
async function refusalOf(
  api: Api,
  { hasCursor }: HttpRequest,
  { status, headers, retryAfterMs, allowance }: Head,
  reader: BodyReader | null,
  answered: (answer: Answered) => void,
): Promise<LogkeepError> {
  const { label, authHint, secrets } = api;
  const text = await quoted(reader);
  const sense = api.sense(status, text);
  const kind = sense === 'busy' ? 'busy' : status === 429 ? 'refused' : 'failed';
  // Where a wait is asked for, it is that; whoever is only busy has not run out of quota.
  const spent = kind === 'refused' && retryAfterMs === null;
  answered({ kind, allowance: allowance(spent), retryAfterMs });
  const location = typeof headers.location === 'string' ? headers.location : null;
  return named(api, refusalError({ label, status, text, location, hasCursor, sense, authHint, secrets }));
}

/** The body of a refusal; empty where it is not whole. */
async function quoted(reader: BodyReader | null): Promise<string> {
  try {
    const whole = await reader?.end();
    const text = whole?.body.toString('utf8') ?? '';
    whole?.release();
    return text;
  } catch {
    return '';
  }
}

function explained(api: Api, r: HttpRequest, error: unknown): unknown {
  if (error instanceof LogkeepError) return named(api, error);
  // An invalid argument of ours, such as a line break in a header, would be as invalid on the next try.
  if (error instanceof errors.InvalidArgumentError) return named(api, new LogkeepError('config', UNSENDABLE));
  const late = error === LATE || error === SLOW;
  const what = late ? `no complete answer within ${api.timeoutMs} ms` : networkTrouble(error);
  if (what === null) return error;
  // A parser's error carries the bytes that it did not understand.
  const cause = error instanceof errors.HTTPParserError ? {} : { cause: error };
  const remedy = error === SLOW ? { remedy: TOO_SLOW } : {};
  return new LogkeepError('unavailable', `${api.label}: ${r.url.host}: ${what}`, { ...cause, ...remedy });
}

const TOO_SLOW =
  'the answer had begun and was too slow: raise `timeout` of the stream, or try again on a faster connection';

/** Whether an answer began in time, and did not end in time. */
export function isSlow(error: unknown): boolean {
  return isFailure(error, 'unavailable') && error.cause === SLOW;
}

const UNSENDABLE =
  'a setting cannot be sent in a request: expected a token and keys without stray characters';

/** The error with the stream's name before its message, and without our credentials in it. */
export function named(api: Api, error: LogkeepError): LogkeepError {
  const clean = withoutSecrets(error.message, api.secrets);
  const message = clean.startsWith(api.label) ? clean : `${api.label}: ${clean}`;
  if (message === error.message) return error;
  const { cause, status, atMs, remedy } = error;
  return new LogkeepError(error.kind, message, {
    cause,
    ...(status === null ? {} : { status }),
    ...(atMs === null ? {} : { atMs }),
    ...(remedy === null ? {} : { remedy }),
  });
}

/** What went wrong with a connection; null where the error is none of the network's. */
function networkTrouble(error: unknown): string | null {
  const { code, message } = error as { code?: unknown; message?: unknown };
  // Without the parser's message, which quotes the answer.
  if (error instanceof errors.HTTPParserError) return 'the answer is not HTTP';
  if (typeof code !== 'string') return null;
  const said = String(message);
  return said.includes(code) ? said : `${code} ${said}`.trim();
}

/** The date that coverage is claimed by: null if it is absurd, or not written as HTTP writes dates. */
function parseDate(value: string | string[] | undefined): Ms | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (!(ms >= EARLIEST_MS && ms <= LATEST_MS)) return null;
  return new Date(ms).toUTCString() === value ? ms : null;
}

/** Seconds, or a date by the server's own clock; of several the longest. */
function retryAfterMs(header: string | string[] | undefined, serverNow: Ms): number | null {
  const waits = valuesOf(header)
    .map((value) =>
      /[a-z]{3}/i.test(value) ? Date.parse(value) - serverNow : (numberOf(value) ?? -1) * 1000,
    )
    .filter((ms) => ms >= 0);
  return waits.length === 0 ? null : Math.max(...waits);
}
