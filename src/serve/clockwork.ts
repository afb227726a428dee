import { createTask, type Logger, type ScheduledTask } from 'node-cron';
import type { Job } from '../../jobs/job.ts';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import type { StreamSettings } from '../sources/source.ts';

/** How often it is looked whether the clock was set. */
const LOOK_MS = 5_000;
/** A clock that moved by more than this against the time that passed was set, or the machine slept. */
const JUMP_MS = 2_000;

/** One line of the timetable. */
export interface Entry {
  readonly job: string;
  readonly stream: string | null;
  /** Cron, UTC. */
  readonly schedule: string;
}

/** The ticking of a timetable. */
export interface Clockwork {
  stop(): void;
}

/** All that the jobs want at the present settings. */
export function timetable(jobs: readonly Job[], streams: readonly StreamSettings[]): readonly Entry[] {
  return jobs.flatMap((job): readonly Entry[] =>
    job.perStream
      ? streams.map((settings) => ({ job: job.name, stream: settings.id, schedule: job.schedule(settings) }))
      : [{ job: job.name, stream: null, schedule: job.schedule }],
  );
}

/**
 * Calls `tick` when an entry is due, with the time it was due at: the same time in every process. A tick that was
 * missed because the process was busy or stopped comes late, once. After the clock was set the timetable begins
 * anew, as node-cron would wait until a clock that was put back has caught up.
 */
export function startClockwork(
  entries: readonly Entry[],
  tick: (entry: Entry, atMs: Ms) => void,
  log: Log,
): Clockwork {
  let tasks: readonly ScheduledTask[] = [];
  const begin = () => {
    tasks = entries.map((entry) => {
      const task = createTask(entry.schedule, ({ date }) => tick(entry, date.getTime()), {
        timezone: 'UTC',
        suppressMissedWarning: true,
        logger: quiet(log),
      });
      task.on('execution:missed', ({ date }) => tick(entry, date.getTime()));
      void task.start();
      return task;
    });
  };
  const end = () => {
    for (const task of tasks) void task.destroy();
  };
  begin();
  let offset = Date.now() - performance.now();
  const looking = setInterval(() => {
    const now = Date.now() - performance.now();
    const jumpedMs = now - offset;
    offset = now;
    if (Math.abs(jumpedMs) < JUMP_MS) return;
    log.warn({ by_ms: Math.round(jumpedMs) }, 'the clock was set: the timetable begins anew');
    end();
    begin();
    for (const entry of entries) tick(entry, Math.floor(Date.now() / 1000) * 1000);
  }, LOOK_MS);
  return {
    stop: () => {
      clearInterval(looking);
      end();
    },
  };
}

function quiet(log: Log): Logger {
  const say = (message: string | Error) => log.debug({ said: String(message) }, 'timetable');
  return { info: say, warn: say, error: say, debug: say };
}
