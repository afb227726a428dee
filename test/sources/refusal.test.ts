import { describe, expect, test } from 'vitest';
import { LogkeepError, REMEDY } from '../../src/errors.ts';
import { createHttp } from '../../src/sources/http.ts';
import { quote, type Refusal, refusalError, withoutSecrets } from '../../src/sources/refusal.ts';
import { plainApi, serve, testClock, turn } from './stand.ts';

/** Words by which a message tells its reader to do something. */
const ADVICE =
  /\b(?:check|correct|raise|accept|narrow|try|tries|tried again|read again|run sync|planned|asked for)\b/g;

const refusal = (changes: Partial<Refusal>): Refusal => ({
  label: 'toy.main',
  status: 400,
  text: '',
  location: null,
  hasCursor: false,
  sense: null,
  authHint: 'check the token',
  secrets: [],
  ...changes,
});

/** What a command prints of an error. */
const line = ({ message, kind }: LogkeepError) => `${message} (${REMEDY[kind]})`;

describe('what is said of a refusal tells what to do once, and what fits it', () => {
  test.each<[Partial<Refusal>, string]>([
    [
      { status: 302, location: 'https://login.example/' },
      'toy.main: the API answered 302: redirects (here to https://login.example/) are not followed, since they would carry the credentials: expected the address of the API itself (correct the address or the filters of the stream)',
    ],
    [
      { status: 404, text: 'no such page' },
      'toy.main: the API answered 404: "no such page": expected the address of the API (correct the address or the filters of the stream)',
    ],
    [
      { status: 400, text: '{"error":"no such state"}' },
      'toy.main: the API answered 400: "no such state": expected filters that it accepts (correct the address or the filters of the stream)',
    ],
    [
      { status: 418, text: 'I am a teapot' },
      'toy.main: the API answered 418: "I am a teapot": expected 200 (correct the address or the filters of the stream)',
    ],
    [
      { status: 401 },
      'toy.main: the API answered 401: check the token (fix the credentials as described above; `logkeep check` tries them)',
    ],
    [
      { status: 503 },
      'toy.main: the API answered 503 (try again later: it goes on from what is stored; `logkeep check` tells whether the API answers)',
    ],
    [
      { status: 400, hasCursor: true },
      'toy.main: the API answered 400: the cursor is lost (try again: it goes on from what is stored)',
    ],
    [
      { status: 504, sense: 'timeout' },
      'toy.main: the API answered 504: the query took too long for it (try again later, or narrow the filters of the stream)',
    ],
  ])('%o', (changes, expected) => {
    expect(line(refusalError(refusal(changes)))).toBe(expected);
  });

  test('whatever the status', () => {
    for (let status = 201; status < 600; status += 1) {
      for (const hasCursor of [true, false]) {
        const error = refusalError(refusal({ status, hasCursor, authHint: 'expected another token' }));
        expect(error.message.match(ADVICE), error.message).toBeNull();
      }
    }
  });
});

describe('what is said of an answer that is no JSON', () => {
  async function failureOf(body: string): Promise<LogkeepError> {
    const stand = await serve((_request, response) => void response.end(body));
    const http = createHttp({ clock: testClock({ leap: true }) });
    const api = plainApi(http.gate('toy', { concurrency: 1, spacingMs: 0, reserve: 0 }), { retryMs: 20 });
    const request = {
      method: 'GET' as const,
      url: new URL(stand.url),
      headers: {},
      hasCursor: false,
      ...turn(),
    };
    try {
      const error = await http
        .request(api, request, ({ text }) => JSON.parse(text))
        .catch((thrown) => thrown);
      if (error instanceof LogkeepError) return error;
      throw new Error(`expected a LogkeepError, got ${String(error)}`);
    } finally {
      await http.close();
      await stand.close();
    }
  }

  test.each([
    ['{"a":', 'toy.main: the body (5 bytes) is no complete JSON'],
    ['', 'toy.main: the body (0 bytes) is no complete JSON'],
    [
      ' \n<!doctype html><title>Sign in</title>',
      'toy.main: the body (39 bytes) is a web page, not JSON: expected the API itself, not a proxy or sign-in page',
    ],
  ])('%j: what it is, and no promise that it is tried again', async (body, expected) => {
    const error = await failureOf(body);
    expect(error).toMatchObject({ kind: 'unavailable', message: expected });
    expect(line(error)).not.toMatch(/is tried again|nothing:/);
  });
});

test('I11: no part of a credential stays where a quotation was cut off within it', () => {
  const secret = 's3cret/token+value=';
  for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')]) {
    for (let before = 170; before < 200; before++) {
      const quoted = quote(`${'-'.repeat(before)}${form} may not read`);
      expect(withoutSecrets(`it warns: "${quoted}"`, [secret])).not.toContain(form.slice(0, 3));
    }
  }
});
