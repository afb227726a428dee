import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRedactor, REDACTED_HEADERS } from '../src/redact.ts';
import { character } from './hostile.ts';

test('digest is the HMAC-SHA256 that the crypto module computes, whatever the content and its length', () => {
  const key = randomBytes(32);
  const { digest } = createRedactor(key);
  const contents = [
    fc.string({ unit: character }),
    fc.integer({ min: 0, max: 20_000 }).map((n) => 'ä€😀'.repeat(n)),
  ];
  fc.assert(
    fc.property(fc.oneof(...contents), (content) => {
      const hex = createHmac('sha256', key).update(content).digest('hex');
      expect(digest(content)).toBe(hex);
      expect(digest(Buffer.from(content))).toBe(hex);
    }),
  );
});

test('hidden values stay comparable within a database and tell nothing across two', () => {
  const here = createRedactor(randomBytes(32));
  const there = createRedactor(randomBytes(32));
  expect(here.hide('Bearer a')).toBe(here.hide('Bearer a'));
  expect(here.hide('Bearer a')).not.toBe(here.hide('Bearer b'));
  expect(here.hide('Bearer a')).not.toBe(there.hide('Bearer a'));
  expect(here.hide('Bearer a')).not.toContain('Bearer');
});

test('a header is hidden whatever its case and whether QStash forwards it, and others are not', () => {
  const { hides } = createRedactor(randomBytes(32), ['X-Secret']);
  expect(
    ['x-secret', 'X-SECRET', 'Upstash-Forward-X-Secret', 'Upstash-Callback-Forward-X-Secret'].every(hides),
  ).toBe(true);
  expect(hides('x-secret-not')).toBe(false);
  expect(hides('Authorization')).toBe(false);
});

test.each(
  (
    'Authorization Proxy-Authorization Cookie Set-Cookie X-Api-Key X-Goog-Api-Key apikey Acme-ApiKey X-Auth-Key ' +
    'Private-Token X-Gitlab-Token X-Shopify-Access-Token X-Vault-Token X-Api-Token X-Session-Token X-CSRF-Token ' +
    'X-Amz-Security-Token X-Client-Secret Stripe-Signature X-Slack-Signature X-Hub-Signature X-Hub-Signature-256 ' +
    'Upstash-Signature DD-Application-Key Ocp-Apim-Subscription-Key X-Functions-Key X-Vercel-Protection-Bypass'
  ).split(' '),
)('without settings %s is hidden, and what QStash forwards under that name', (name) => {
  const { hides } = createRedactor(randomBytes(32));
  for (const prefix of [
    '',
    'Upstash-Forward-',
    'Upstash-Callback-Forward-',
    'Upstash-Failure-Callback-Forward-',
  ])
    for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
      expect(hides(prefix + spelling)).toBe(true);
    }
});

test.each(
  (
    'Content-Type X-Request-Id Traceparent Etag X-Token-Count Token-Type X-Signature-Version X-Secretary Upstash-Retries ' +
    'X-Api-Key-Id X-Hub-Signature-255 Idempotency-Key Secret-Santa *-token-x'
  ).split(' '),
)('without settings %s is shown', (name) => {
  const { hides } = createRedactor(randomBytes(32));
  expect(hides(name)).toBe(false);
});

test.each([
  'X_API_KEY',
  'x_api-key',
  'HTTP_X_API_KEY',
  'API_KEY',
  'access_token',
  'Set_Cookie',
  ' Authorization',
  'Authorization ',
  '  X_Api_Key  ',
  'Upstash-Forward-Upstash-Forward-Authorization',
  'Upstash-Forward-Upstash-Callback-Forward-Upstash-Failure-Callback-Forward-Cookie',
  'Upstash_Forward_Proxy_Authorization',
  'Upstash-Forward- Cookie',
])('without settings "%s" is hidden: what servers take for a name is that name', (name) => {
  const { hides } = createRedactor(randomBytes(32));
  expect(hides(name)).toBe(true);
});

test('a name of the settings is compared as one of a header is', () => {
  const { hides } = createRedactor(randomBytes(32), [' X_Mine ', 'upstash-forward-y']);
  for (const name of ['x-mine', 'X_MINE', 'x-mine ', 'Upstash-Forward-X_Mine', 'Upstash-Forward-Y']) {
    expect(hides(name)).toBe(true);
  }
  expect(hides('y')).toBe(false);
});

test('a list of the settings is what it says: names, to the letter', () => {
  const { hides } = createRedactor(randomBytes(32), ['x-mine', '*-mine', 'x.y']);
  expect(['X-Mine', '*-mine', 'x.y'].every(hides)).toBe(true);
  const shown = ['x-your-mine', 'x-y', 'Authorization', 'x-a-token'];
  expect(shown.some(hides)).toBe(false);
  expect(createRedactor(randomBytes(32), []).hides('Authorization')).toBe(false);
});

test('docs/settings.md names all that is hidden without settings', () => {
  const text = readFileSync(new URL('../docs/settings.md', import.meta.url), 'utf8');
  expect(REDACTED_HEADERS.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
