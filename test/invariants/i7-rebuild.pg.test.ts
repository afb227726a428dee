import { afterEach, beforeEach, expect, test } from 'vitest';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const AT = START - 3_600_000;
let world: World;

beforeEach(async () => {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    sandbox: { qstash: prompt, datadog: prompt },
  });
});
afterEach(() => world.close());

/** Values that something on the way would like to change. */
const ODD: readonly string[] = [
  '"a\\u0000b"',
  '"\\ud800 alone"',
  '"\\udc00\\ud800"',
  '"\\ue0000000 \\ue000"',
  '9007199254740993',
  '18446744073709551615',
  '-0',
  '1e400',
  '-1.5e-400',
  '0.1000',
  '123456789012345678901234567890.5',
  '{"a":1,"a":2,"":3}',
  '{"k\\u0000":{"\\ud800":["\\u0000"]}}',
  '[]',
  '{}',
  'null',
  'true',
  '""',
  `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
  `"${'x'.repeat(1_000_000)}"`,
];
const QSTASH_FIELDS = [
  'state',
  'error',
  'url',
  'body',
  'responseBody',
  'header',
  'responseHeaders',
  'responseStatus',
  'nextDeliveryTime',
  'duration',
  'maxRetries',
  'labels',
  'label',
  'timeout',
  'unheardOf',
];
const DATADOG_FIELDS = ['message', 'host', 'service', 'status', 'tags', 'attributes', 'unheardOf'];
const SPECIAL: readonly (readonly [field: string, text: string])[] = [
  ['body', '"bm90IHBhZGRlZA"'],
  ['body', '"REDACTED:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"'],
  ['responseBody', '"bGluZQ==\\n"'],
  ['nextDeliveryTime', '253402300799998'],
  ['nextDeliveryTime', '253402300799999'],
  ['nextDeliveryTime', '1'],
  ['header', '{"X":["a","a"],"Y":[]}'],
  ['header', '{"X":"no array"}'],
  ['labels', '["b","a","b","\\u0000"]'],
  ['responseHeader', '{"A":["old spelling"]}'],
  ['retryDelayExpr', '"pow(2, retried)"'],
  ['responseStatus', '99999999999'],
  ['duration', '9223372036854775807'],
  ['maxRetries', '-1'],
];

test('I7: whatever a QStash entry holds, its rows give it back, equal as JSON', async () => {
  const texts = [
    ...QSTASH_FIELDS.flatMap((field) => ODD.map((odd) => [field, odd] as const)),
    ...SPECIAL,
  ].map(([field, text], n) => `{"time":${AT + n},"messageId":"msg_${n}","${field}":${text}}`);
  texts.push(`{"time":${AT},"messageId":"msg_least"}`, `{"time":${AT},"messageId":"\\u0000\\ud800\\ue000"}`);
  world.sandbox.qstash.add(texts.map((entry, n) => ({ entry, atMs: AT + n })));
  const [result] = await world.sync();
  expect(result).toMatchObject({
    error: null,
    outcome: 'done',
    totals: { quarantined: 0, fresh: texts.length },
  });
  expect(difference(await storedQstash(world), onceEach(texts.map((text) => ({ text }))))).toEqual(
    NO_DIFFERENCE,
  );
});

for (const redacted of ['plain', 'base64'] as const) {
  test(`I7: a body that QStash has redacted comes back as sent (${redacted})`, async () => {
    await world.close();
    world = await createWorld({ sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 }, redacted } } });
    world.sandbox.qstash.history({ from: AT - 3_600_000, to: AT, messages: 400 });
    const truth = world.sandbox.qstash.truth({ visibleAt: START });
    const mark = redacted === 'plain' ? '"body":"REDACTED:' : `"body":"${btoa('REDACTED:')}`;
    const marked = truth.filter(({ text }) => text.includes(mark));
    expect(marked.length).toBeGreaterThan(3);
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done', totals: { quarantined: 0, fresh: truth.length } });
    expect(difference(await storedQstash(world), onceEach(truth))).toEqual(NO_DIFFERENCE);
    // What decodes is kept as bytes, anything else as the text that it is.
    const messages = [...new Set(marked.map(({ text }) => JSON.parse(text).messageId as string))].sort();
    const found = await world.query(
      redacted === 'plain'
        ? `select message_id from logkeep.qstash_request where body is null and extra->>'body' like 'REDACTED:%' order by 1`
        : `select message_id from logkeep.qstash_request where convert_from(substr(body, 1, 9), 'LATIN1') = 'REDACTED:' order by 1`,
    );
    expect(found.map((row) => row.message_id)).toEqual(messages);
  });
}

for (const transport of ['v1', 'v2'] as const) {
  test(`I7: whatever a Datadog log holds, its row gives it back as ${transport} sent it, equal as JSON`, async () => {
    const contents = DATADOG_FIELDS.flatMap((field) => ODD.map((odd) => [field, odd] as const)).map(
      ([field, text], n) => `{"timestamp":"${new Date(AT + n).toISOString()}","${field}":${text}}`,
    );
    world.sandbox.datadog.add(contents.map((content, n) => ({ content, atMs: AT + n, intakeMs: AT + n })));
    const results = await world.sync(
      {},
      { streams: ['datadog.main'], settings: { own: { api: transport } } },
    );
    expect(results[0]).toMatchObject({ outcome: 'done', totals: { quarantined: 0, fresh: contents.length } });
    const truth = world.sandbox.datadog.truth();
    const wanted = transport === 'v1' ? truth : truth.map(({ textV2 }) => ({ text: textV2 }));
    expect(difference(await storedDatadog(world, transport), onceEach(wanted))).toEqual(NO_DIFFERENCE);
  });
}

test('I7: an entry that cannot become a row waits in quarantine, whole', async () => {
  const text = `{"time":"yesterday","messageId":"msg_1","error":"a\\u0000b","n":18446744073709551615}`;
  world.sandbox.qstash.add([{ entry: text, atMs: AT }]);
  await world.sync({}, { streams: ['qstash.main'] });
  expect(await world.query('select reason, logkeep.unescape(raw) as raw from logkeep.quarantine')).toEqual([
    { reason: 'no_time', raw: text },
  ]);
});
