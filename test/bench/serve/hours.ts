import { sweep } from '../../../jobs/sweep.ts';
import { sync } from '../../../jobs/sync.ts';
import type { Ms } from '../../../src/model.ts';
import type { BenchServer } from '../database.ts';
import { type Line, rounded } from '../figures.ts';
import type { SourceName } from '../pages.ts';
import { openSimulation, type Simulation } from './simulation.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Away from an hour's edge. */
const START: Ms = Date.UTC(2026, 4, 20, 12, 34, 56, 789);

const LIMIT = 300;
const PAGE = 100;
const BACKLOG_HOURS = 12;
const BACKLOG_PER_HOUR = 5_000;
const LIVE_PER_HOUR = 1_800;
const IDLE_HOURS = 2;
const SWEEP_EVERY_MS = 6 * HOUR;
const TIMETABLE = ['* * * * *', '17 */6 * * *'];
/** Longer than any catching up should take. */
const MOST_HOURS = 12;

/** Datadog's quota, and pages of 100, so that it binds without a million entries. */
const RATIONED = {
  datadog: { quota: { limit: LIMIT, periodS: 3600 }, maxLimit: PAGE, overMax: 'clamp' },
} as const;

/**
 * Twelve hours of entries to catch up with while new ones come, at 300 requests an hour less the reserve of 10 %:
 * until when, against the first moment at which so many requests were allowed at all as what is there takes in full
 * pages.
 */
export async function measureCatchUp(server: BenchServer): Promise<Line> {
  const source = 'datadog';
  const database = await server.create('migrated');
  const world = await openSimulation(database, source, START, {
    sandbox: RATIONED,
    changes: { pageSize: PAGE, since: { agoMs: (BACKLOG_HOURS + 1) * HOUR } },
  });
  try {
    world.sandbox.datadog.history({
      from: START - BACKLOG_HOURS * HOUR,
      to: START,
      logs: BACKLOG_HOURS * BACKLOG_PER_HOUR,
    });
    for (let n = 0; n < MOST_HOURS; n++) {
      const span = { from: START + n * HOUR, to: START + (n + 1) * HOUR };
      world.sandbox.datadog.history({ ...span, logs: LIVE_PER_HOUR });
    }
    const allowed = LIMIT - Math.ceil(LIMIT * world.settings.reserve);
    const least = leastMs(world, allowed);
    let tookMs = Number.NaN;
    for (let at = START; at < START + MOST_HOURS * HOUR; at += MINUTE) {
      await world.pass(at);
      if (!world.running(sync) && (await coveredTo(world)) >= at - world.settings.settleMs - 2 * MINUTE) {
        tookMs = at - START;
        break;
      }
      world.start(sync);
    }
    const end = START + tookMs;
    const entries = visible(world, end).length;
    const requests = world.sandbox.requests().filter(({ atMs }) => atMs <= end).length;
    return {
      kind: 'catch_up',
      source,
      entries,
      page: PAGE,
      requests_per_h: allowed,
      minutes: minutes(tookMs),
      least_minutes: minutes(least),
      to_least: rounded(tookMs / least, 3),
      requests,
      least_requests: Math.ceil(entries / PAGE),
      requests_to_least: rounded(requests / Math.ceil(entries / PAGE), 3),
      refused: world.sandbox.requests().filter(({ status }) => status === 429).length,
    };
  } finally {
    await world.close();
    await database.drop();
  }
}

/** Requests of two hours of the default timetable with nothing new, after everything was read and swept once. */
export async function measureIdleRequests(server: BenchServer, source: SourceName): Promise<Line> {
  const database = await server.create('migrated');
  const world = await openSimulation(database, source, START, { sandbox: {} });
  try {
    const schedules = [sync.schedule(world.settings), sweep.schedule(world.settings)];
    if (schedules.join() !== TIMETABLE.join())
      throw new Error(`${source}: the default timetable is ${schedules}: the bench plays ${TIMETABLE}`);
    for (const job of [sync, sweep]) {
      world.start(job);
      await world.pass(null);
    }
    const beginMs = Math.ceil(world.now() / MINUTE) * MINUTE;
    const before = world.sandbox.requests().length;
    for (let at = beginMs; at < beginMs + IDLE_HOURS * HOUR; at += MINUTE) {
      await world.pass(at);
      world.start(sync);
    }
    await world.pass(null);
    const afterSync = world.sandbox.requests().length;
    world.advance(SWEEP_EVERY_MS - IDLE_HOURS * HOUR);
    world.start(sweep);
    await world.pass(null);
    const perHour = (afterSync - before) / IDLE_HOURS;
    const perSweep = world.sandbox.requests().length - afterSync;
    return {
      kind: 'idle_requests',
      source,
      sync_per_h: perHour,
      per_sweep: perSweep,
      requests_per_h: rounded(perHour + perSweep / (SWEEP_EVERY_MS / HOUR), 2),
    };
  } finally {
    await world.close();
    await database.drop();
  }
}

function visible(world: Simulation, atMs: Ms): readonly unknown[] {
  return world.sandbox.datadog.truth({ visibleAt: atMs, to: atMs - world.settings.settleMs });
}

/** The first moment, after the start, at which all that was there by then could have been read in full pages. */
function leastMs(world: Simulation, allowed: number): Ms {
  for (let at = START; ; at += 10_000) {
    const windows = Math.floor(at / HOUR) - Math.floor(START / HOUR) + 1;
    if (windows * allowed * PAGE >= visible(world, at).length) return at - START;
  }
}

/** Up to where all that was asked for is covered; 0 as long as there is a hole. */
async function coveredTo({ database }: Simulation): Promise<Ms> {
  const { rows } = await database.client.query(
    `select coalesce(extract(epoch from upper(covered)), 0)::float8 * 1000 as at from logkeep.stream
    where active and not exists (select from logkeep.gap)`,
  );
  return rows[0]?.at ?? 0;
}

function minutes(ms: number): number {
  return rounded(ms / MINUTE, 1);
}
