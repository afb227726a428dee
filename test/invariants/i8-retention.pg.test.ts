import { afterEach, expect, test } from 'vitest';
import { createWorld, START, type World } from '../world.ts';

const DAY = 86_400_000;
let world: World;
afterEach(() => world.close());

test('I8: a span that expired by a retention set too short is read again, and covered, once the setting is right', async () => {
  world = await createWorld({
    settings: { retentionMs: DAY, since: { agoMs: 3 * DAY } },
    sandbox: { qstash: { retentionMs: 7 * DAY } },
  });
  world.sandbox.qstash.history({ from: START - 3 * DAY, to: START - 60_000, messages: 60 });
  await world.sync();
  const kinds = () =>
    world.query(
      'select kind, upper(covered) is not null as covered from logkeep.gap g join logkeep.stream s using (stream)',
    );
  expect(await kinds()).toEqual([{ kind: 'expired', covered: true }]);
  await world.sync({}, { settings: { retentionMs: 7 * DAY, since: { agoMs: 3 * DAY } } });
  expect(await kinds()).toEqual([]);
  const [row] = await world.query('select isempty(expired) as none, covered from logkeep.stream');
  expect(row?.none).toBe(true);
});

test('I8: the same retention again brings nothing back: what expired stays known as lost', async () => {
  world = await createWorld({
    settings: { retentionMs: DAY, since: { agoMs: 3 * DAY } },
    sandbox: { qstash: { retentionMs: DAY } },
  });
  await world.sync();
  const gaps = () => world.query('select from_time, to_time from logkeep.gap');
  const before = await gaps();
  const requests = world.sandbox.requests().length;
  for (let minute = 0; minute < 3; minute++) {
    world.clock.advance(60_000);
    await world.sync();
  }
  expect(await gaps()).toEqual(before);
  expect(world.sandbox.requests().length).toBe(requests + 3);
});
