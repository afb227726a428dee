import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withClient } from '../postgres.ts';
import { createDesk, type Desk } from './child.ts';

let desk: Desk;
beforeEach(() => {
  desk = createDesk();
});
afterEach(() => desk.clear());

describe('demo', () => {
  it('in under a minute syncs, shows status and answers, touches nothing real, and does so again after a SIGKILL', async () => {
    // What is real must be left alone: a settings file that does not even parse, and a database that is not there.
    writeFileSync(join(desk.cwd, 'logkeep.yaml'), ': not yaml');
    const real = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/real', QSTASH_TOKEN: 'real-token' };
    const killed = desk.start('demo --log-level info', real);
    await killed.says(/started the embedded Postgres/);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    killed.signal('SIGKILL');
    await killed.finished;
    const begunMs = performance.now();
    const begunAt = Date.now();
    const { code, out, err } = await desk.run('demo', real);
    expect(err).not.toContain('logkeep:');
    expect(code).toBe(0);
    expect(performance.now() - begunMs).toBeLessThan(60_000);
    const counts = [...out.matchAll(/^(\S+)\.main: caught up: ([\d,]+) new entries, 0 known/gm)];
    expect(counts.map(([, name]) => name)).toEqual(['qstash', 'datadog']);
    for (const [, , count = '0'] of counts) expect(Number(count.replace(',', ''))).toBeGreaterThan(15_000);
    expect(out).not.toMatch(/waited .* for quota/);
    expect(out).toMatch(/^stream +covered until +lag +gaps +stored +last sync/m);
    // Up to the real now, less the settle delay.
    const status = [...out.matchAll(/^(\S+)\.main +(\S+ \S+Z) +.*none +[\d,]+ +done /gm)];
    expect(status.map(([, name]) => name)).toEqual(['datadog', 'qstash']);
    for (const [, , until = ''] of status) {
      expect(Date.parse(until)).toBeGreaterThan(begunAt - 150_000);
      expect(Date.parse(until)).toBeLessThan(Date.now());
    }
    expect(out).toMatch(/^DELIVERED +\d+ +\d/m);
    expect(out).toMatch(/^https:\/\/\S+ +\d+ +\d+ +\d/m);
    expect(out).toMatch(/^msg_\w+\.\.\. +\d+ /m);
    for (const next of ['npx logkeep demo --keep', 'npx logkeep query "select ', 'npx logkeep db '])
      expect(out).toContain(next);
    expect(serverLeft(desk.cwd)).toBe(false);
  }, 180_000);

  it('with --keep leaves database and stand-ins up until a signal, and refuses a second demo in its place', async () => {
    const askedAt = Date.now();
    const kept = desk.start('demo --keep');
    const said = await kept.says(/npx logkeep sync\n/);
    const url = /psql '([^']+)'/.exec(said)?.[1] ?? '';
    const { rows } = await withClient(url, (client) =>
      client.query(
        'select count(*)::int as n, min(time) as oldest, max(time) as newest from logkeep.log_entry',
      ),
    );
    expect(rows[0].n).toBeGreaterThan(30_000);
    expect(rows[0].newest.getTime()).toBeGreaterThan(askedAt - 600_000);
    expect(rows[0].oldest.getTime()).toBeLessThan(askedAt - 47 * 3_600_000);
    const env = Object.fromEntries(
      [...said.matchAll(/export (\w+)='([^']*)'/g)].map(([, name, value]) => [name, value]),
    );
    const more = await desk.run('sync', env);
    expect([more.code, more.out]).toEqual([0, expect.stringContaining('qstash.main: caught up')]);
    const second = await desk.run('demo');
    expect(second).toMatchObject({ code: 2, err: expect.stringContaining('another demo is running here') });
    expect(serverLeft(desk.cwd)).toBe(true);
    kept.signal('SIGINT');
    const { code, out } = await kept.finished;
    expect([code, out]).toEqual([0, expect.stringMatching(/npx logkeep db (?!.*demo --keep)/s)]);
    expect(serverLeft(desk.cwd)).toBe(false);
  }, 180_000);
});

describe('sandbox', () => {
  it('prints an environment that a shell takes, serves both APIs with new entries until a signal, then exits 0', async () => {
    const sandbox = desk.start('sandbox --entries 200 --history 1h');
    const said = await sandbox.says(/DD_APP_KEY='.*'\n/);
    const script = said
      .split('\n')
      .filter((line) => line.startsWith('export '))
      .join('\n');
    const printed = execFileSync('sh', ['-c', `${script}\nprintf '%s %s' "$QSTASH_URL" "$QSTASH_TOKEN"`], {
      encoding: 'utf8',
    });
    const [url = '', token = ''] = printed.split(' ');
    const newest = async () => {
      const answer = await fetch(`${url}/v2/logs?count=1`, { headers: { authorization: `Bearer ${token}` } });
      const { events } = (await answer.json()) as { events: readonly { time: number }[] };
      return events[0]?.time ?? 0;
    };
    const before = await newest();
    expect(before).toBeGreaterThan(Date.now() - 3_600_000);
    const deadline = Date.now() + 30_000;
    while ((await newest()) === before && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await newest()).toBeGreaterThan(before);
    sandbox.signal('SIGTERM');
    expect((await sandbox.finished).code).toBe(0);
  });
});

/** Whether the demo's Postgres in `folder` runs, or was left to be recovered. */
function serverLeft(folder: string): boolean {
  return existsSync(join(folder, '.logkeep-demo', 'cluster', 'data', 'postmaster.pid'));
}
