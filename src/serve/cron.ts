import { createTask, type Logger, type ScheduledTask } from 'node-cron';
import type { Job } from '../../jobs/job.ts';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import type { StreamSettings } from '../sources/source.ts';

/** How often it is looked whether the clock was set. */
const LOOK_MS = 5_000;
/** A clock that moved by more than this against the time that passed was set, or the machine slept. */
const JUMP_MS = 2_000;

/** A line of the timetable. */
export interface ScheduledJob {
  readonly job: string;
  readonly stream: string | null;
  /** Cron, UTC. */
  readonly schedule: string;
}

/** A timetable that ticks. */
export interface Cron {
  stop(): void;
}

/** All that the jobs want at the present settings. */
export function timetableOf(
  jobs: readonly Job[],
  streams: readonly StreamSettings[],
): readonly ScheduledJob[] {
  return jobs.flatMap((job): readonly ScheduledJob[] =>
    job.perStream
      ? streams.map((settings) => ({ job: job.name, stream: settings.id, schedule: job.schedule(settings) }))
      : [{ job: job.name, stream: null, schedule: job.schedule }],
  );
}

/**
 * Calls `tick` when a job is due, with the time it was due at: the same time in every process. A tick that was
 * missed because the process was busy or stopped comes late, once. After the clock was set the timetable begins
 * anew, as node-cron would wait until a clock that was put back has caught up; it begins with a tick of every job, which
 * bears the time at which this process noticed, so that each process that noticed asks for a job of its own.
 */
export function startCron(
  timetable: readonly ScheduledJob[],
  tick: (scheduled: ScheduledJob, atMs: Ms) => void,
  log: Log,
): Cron {
  let tasks: readonly ScheduledTask[] = [];
  const begin = () => {
    tasks = timetable.map((scheduled) => {
      const task = createTask(scheduled.schedule, ({ date }) => tick(scheduled, date.getTime()), {
        timezone: 'UTC',
        suppressMissedWarning: true,
        logger: quiet(log),
      });
      task.on('execution:missed', ({ date }) => tick(scheduled, date.getTime()));
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
    for (const scheduled of timetable) tick(scheduled, Math.floor(Date.now() / 1000) * 1000);
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
