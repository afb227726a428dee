import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, rowsOf, writeSmallHistory } from './child.ts';

let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([startSandbox(), createDatabase()]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

describe('audit', () => {
  it('proves a complete copy with exit 0, and says what is missing, and what to do, with exit 1', async () => {
    writeSmallHistory(sandbox, 60, 300);
    await desk.runHere('sync');
    const sound = await desk.runHere('audit');
    expect(sound.out).toMatch(
      /^qstash\.main: .* to .*: complete; 0 % settled, \d+(\.\d)? % compared with the API/m,
    );
    expect(sound.out).toMatch(/^datadog\.main: .*: complete; /m);
    expect(sound.out).toMatch(/^day +rows +quarantined +read again +missing +extra$/m);
    expect(sound.err).toContain('datadog.main: ');
    expect(sound.err).toContain('not settled yet');
    expect(sound.code).toBe(0);
    const [lost] = await rowsOf(
      database,
      `delete from logkeep.datadog_log where timestamp = (select timestamp from logkeep.datadog_log
        where timestamp < date_trunc('hour', now() - interval '20 min') order by timestamp desc limit 1) returning timestamp`,
    );
    expect(lost).toBeDefined();
    const broken = await desk.runHere('audit');
    expect(broken.code).toBe(1);
    expect(broken.out).toMatch(/^qstash\.main: .*: complete; /m);
    expect(broken.out).toMatch(/^datadog\.main: .*: NOT proven; /m);
    const remedy = /^datadog\.main: \d+ entr(?:y|ies) of .* not stored .*To do: `logkeep (.*)`$/m.exec(
      broken.err,
    )?.[1];
    expect(remedy).toMatch(/^sync --stream datadog\.main --again /);
    const counted = await desk.runHere('audit --stream datadog.main --by count --json');
    expect(counted.code).toBe(1);
    expect(JSON.parse(counted.out)).toMatchObject({
      sound: false,
      streams: [{ stream: 'datadog.main', by: 'count', differences: [{ kind: 'count' }] }],
    });
    expect((await desk.runHere(remedy ?? '')).code).toBe(0);
    expect((await desk.runHere('audit --json --stream datadog.main')).code).toBe(0);
  }, 60_000);

  it('by count audits the streams that can be counted, and names the others', async () => {
    writeSmallHistory(sandbox, 10, 50);
    await desk.runHere('sync');
    const text = await desk.runHere('audit --by count');
    expect(text).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^datadog\.main: .*: complete; /m),
      err: expect.stringMatching(/^qstash\.main: its API has no counts; use --by keys$/m),
    });
    expect(text.out).not.toContain('qstash.main');
    const json = await desk.runHere('audit --by count --json');
    expect([json.code, JSON.parse(json.out)]).toMatchObject([
      0,
      { sound: true, streams: [{ stream: 'datadog.main' }], not_counted: ['qstash.main'] },
    ]);
    // Of the hours that were compared alone: the span begins and ends within an hour.
    const [{ days }] = JSON.parse(json.out).streams;
    for (const { rows, quarantined, api } of days) expect(rows + quarantined).toBe(api ?? 0);
  }, 30_000);

  it('says of a stream that was never read what to do, with exit 1', async () => {
    await desk.runHere('migrate');
    const { code, out, err } = await desk.runHere('audit --stream qstash.main');
    expect([code, out]).toEqual([1, 'qstash.main: never read\n']);
    expect(err).toContain('To do: run `logkeep sync --stream qstash.main`');
  });

  it('refuses what cannot be counted, and spans that are none, before it asks the API for anything', async () => {
    await desk.runHere('migrate');
    for (const [line, complaint] of [
      [
        'audit --by count --stream qstash.main',
        '--by: "count": the API of qstash.main has no counts: expected keys',
      ],
      ['audit --by sum', '--by: "sum": expected keys or count'],
      ['audit --from 1h --to 2h', 'expected a time before --to'],
      ['audit --from yesterday', '--from: "yesterday": expected a duration such as 3d'],
      ['audit --since 1d --from 1d', '--since: expected without --from'],
      ['audit --stream qstash.mian', 'did you mean qstash.main?'],
    ] as const) {
      const { code, err } = await desk.runHere(line);
      expect({ line, code }).toEqual({ line, code: 2 });
      expect(err).toContain(complaint);
    }
    expect(sandbox.requests()).toEqual([]);
  }, 30_000);
});
