import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askQstash, manualClock, NOON, walkQstash } from './ask.ts';

const SPAN = { from: NOON - 86_400_000, to: NOON };
let sandbox: Sandbox;
let proxied: Sandbox;
let prism: ChildProcess;

/** Prism stands between and answers 500 for whatever the official OpenAPI does not allow. */
beforeAll(async () => {
  sandbox = await startSandbox({
    clock: manualClock(),
    // The document speaks of `logs`, `CANCELLED` and `label`, where the live service does not.
    qstash: { quota: null, envelope: 'logs', cancelled: 'CANCELLED', labels: 'label' },
  });
  sandbox.qstash.history({ ...SPAN, messages: 150 });
  const require = createRequire(import.meta.url);
  const cli = require.resolve('@stoplight/prism-cli/dist/index.js');
  const openapi = fileURLToPath(new URL('../fixtures/qstash/openapi.yaml', import.meta.url));
  prism = spawn(
    process.execPath,
    [cli, 'proxy', openapi, sandbox.url, '--errors', '--port', '0', '--host', '127.0.0.1'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    const hear = (chunk: Buffer): void => {
      said += chunk.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said.split('Prism is listening')[1] ?? '');
      if (found !== null) resolve(found[0]);
    };
    prism.stdout?.on('data', hear);
    prism.stderr?.on('data', hear);
    prism.once('exit', () => reject(new Error(`prism ended: ${said}`)));
  });
  proxied = { ...sandbox, url };
});
afterAll(async () => {
  prism?.kill();
  await sandbox?.close();
});

test('every page of a history agrees with the official OpenAPI', async () => {
  const { entries } = await walkQstash(proxied);
  expect(entries.toReversed()).toEqual(sandbox.qstash.truth({ visibleAt: NOON }).map(({ fields }) => fields));
  expect(entries.length).toBeGreaterThan(400);
});

test('filters that the document knows pass', async () => {
  const answer = await askQstash(proxied, {
    state: 'IN_PROGRESS',
    fromDate: SPAN.from,
    toDate: SPAN.to,
    count: 5,
  });
  expect([answer.status, answer.body.logs?.length]).toEqual([200, 5]);
});

test.each([
  ['nothing wrong', {}, null],
  ['a time that is text', { time: `${NOON}` }, 'time'],
  ['a state that it does not know', { state: 'PAUSED' }, 'state'],
  ['a header that is no list', { header: { a: 'b' } }, 'header'],
])('of a planted entry with %s, what is wrong is refused', async (name, wrong, field) => {
  const url = `https://planted.example/${encodeURIComponent(name)}`;
  const entry = { time: NOON - 60_000, messageId: 'm', state: 'CREATED', url, ...wrong };
  sandbox.qstash.add([{ entry, atMs: NOON - 60_000, visibleAtMs: 0 }]);
  expect((await askQstash(sandbox, { url })).body.logs).toEqual([entry]);
  const { status, body } = await askQstash(proxied, { url });
  const { validation = [] } = body as { validation?: { location: string[] }[] };
  expect(status).toBe(field === null ? 200 : 500);
  const places = validation.map(({ location }) => location.join('.'));
  expect(places.length).toBe(field === null ? 0 : 1);
  if (field !== null) expect(places[0]).toContain(`response.body.logs.0.${field}`);
});
