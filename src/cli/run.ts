import { z } from 'zod';
import type { Job, JobContext, JobReport } from '../../jobs/job.ts';
import { JOBS } from '../../jobs/list.ts';
import { openApp } from '../app.ts';
import { type ErrorJson, errorJson, LogkeepError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { openBackend } from '../serve/backend.ts';
import { lanesOf } from '../serve/lanes.ts';
import type { JobQueue } from '../serve/queue.ts';
import { startWorker } from '../serve/worker.ts';
import type { CliContext, Run } from './command.ts';
import { chooseStreams, readConfig } from './open.ts';
import { createProgress } from './progress.ts';
import { printable } from './table.ts';
import { openCommandLog } from './text-log.ts';

const LOOK_MS = 300;

/** How one job that was asked for by hand ended. */
interface Done {
  readonly stream: string | null;
  readonly outcome: string;
  readonly error: ErrorJson | null;
  readonly counts: Readonly<Record<string, number>>;
}

/** `logkeep run JOB`: asks for the job by way of the queue, and works on it unless another process is faster. */
export const run: Run<'run'> = async (options, context) => {
  const job = jobNamed(options.job);
  if (!job.perStream && options.stream.length > 0) {
    throw new LogkeepError(
      'config',
      `--stream: "${options.stream[0]}": expected none, as ${job.name} is not a job of one stream; leave it out`,
    );
  }
  const config = readConfig(options, context, 'required');
  const chosen = chooseStreams(config.streams, options.stream);
  const view = createProgress(context, { json: options.json, live: job.name === 'sync' });
  const log = openCommandLog(config.logLevel, options.json, view);
  const backend = await openBackend({ config, jobs: JOBS, log });
  const { queue } = backend;
  try {
    const app = await openApp(config, chosen, context.clock, log, { migrate: false });
    const reports = new Map<string, JobReport>();
    const worker = startWorker({
      queue,
      jobs: [job],
      log,
      find: (_, { stream, lane }) => {
        const open = app.streams.find(({ stream: { id } }) => id === stream);
        const watch: JobContext['watch'] = (one, event) => {
          // Machines are told how each job ended, in a line.
          if (!options.json) view.update(one, event, lane);
        };
        const begin = (signal: AbortSignal) => ({ app, config, signal, watch });
        if (!job.perStream) return (signal) => job.run(begin(signal));
        return open === undefined ? null : (signal) => job.run(begin(signal), open);
      },
      onReport: ({ claim }, report) => reports.set(claim.id, report),
      failureLevel: 'info',
    });
    try {
      const targets = job.perStream ? chosen.map(({ id }): string => id) : [null];
      const all = await Promise.all(
        targets.map(async (stream) => {
          const lanes = Array.from({ length: await lanesOf(job, stream, app) }, (_, lane) =>
            follow(job, { stream, lane }, { queue, worker, reports }, { ...context, stderr: view }),
          );
          const done = together(stream, await Promise.all(lanes));
          if (options.json) tell(job, done, options.json, context);
          return done;
        }),
      );
      view.close();
      if (!options.json) for (const done of all) tell(job, done, options.json, context);
      return all.every(({ outcome }) => outcome === 'done') ? 0 : 1;
    } finally {
      view.close();
      await worker.stop();
      await app.close();
    }
  } finally {
    await backend.close();
  }
};

interface Following {
  readonly queue: Pick<JobQueue, 'send' | 'current' | 'stateOf'>;
  readonly worker: { wake(job: string): void };
  readonly reports: ReadonlyMap<string, JobReport>;
}

/** Asks for a job and waits for its end, whoever works on it; an end that nobody recorded is a failure. */
export async function follow(
  job: Job,
  { stream, lane }: { readonly stream: string | null; readonly lane: number },
  { queue, worker, reports }: Following,
  { signal, clock, stderr }: Pick<CliContext, 'signal' | 'clock' | 'stderr'>,
): Promise<Done> {
  const name = stream === null ? job.name : `${stream}: ${job.name}`;
  let id = await queue.send(job.name, stream, null, lane);
  if (id === null) {
    id = await queue.current(job.name, stream, lane);
    // It ended between asking and looking.
    if (id === null) id = await queue.send(job.name, stream, null, lane);
    else if (lane === 0) stderr.write(`${name}: is already queued or running: waiting for it to end\n`);
  }
  worker.wake(job.name);
  while (id !== null && !signal.aborted) {
    const own = reports.get(id);
    if (own !== undefined)
      return { stream, outcome: own.outcome, error: errorJson(own.error), counts: own.counts };
    const state = await queue.stateOf(job.name, id);
    if (state.status === 'gone') break;
    if (state.status === 'finished') {
      const { data } = RECORDED.safeParse(state.report);
      if (data === undefined) break;
      return { stream, ...data };
    }
    await clock.sleep(LOOK_MS, signal).catch(() => {});
  }
  if (signal.aborted) return { stream, outcome: 'stopped', error: null, counts: {} };
  const remedy = '`logkeep status` shows how its last run ended';
  const error = new LogkeepError('database', `${name}: how it ended was not recorded`, { remedy });
  return { stream, outcome: 'failed', error: errorJson(error), counts: {} };
}

/** What a worker, of whatever version, records of a job's end. */
const RECORDED = z.object({
  outcome: z.string(),
  error: z.object({ kind: z.string(), message: z.string(), remedy: z.string() }).nullable(),
  counts: z.record(z.string(), z.number()),
});

/** What became of all lanes, as one. */
function together(stream: string | null, lanes: readonly Done[]): Done {
  const counts: Record<string, number> = {};
  for (const lane of lanes) {
    for (const [what, count] of Object.entries(lane.counts)) counts[what] = (counts[what] ?? 0) + count;
  }
  const worst = ['failed', 'stopped'].find((outcome) => lanes.some((lane) => lane.outcome === outcome));
  return {
    stream,
    outcome: worst ?? 'done',
    error: lanes.find(({ error }) => error !== null)?.error ?? null,
    counts,
  };
}

function tell(job: Job, done: Done, json: boolean, { stdout, stderr }: CliContext): void {
  const { stream, outcome, error, counts } = done;
  if (json) {
    stdout.write(`${JSON.stringify({ job: job.name, ...done })}\n`);
    return;
  }
  const name = stream === null ? job.name : `${stream}: ${job.name}`;
  const deeds = Object.entries(counts)
    .filter(([, count]) => count !== 0)
    .map(([what, count]) => `${what.replaceAll('_', ' ')} ${count}`);
  stdout.write(`${[`${name} ${outcome}`, ...deeds].join(', ')}\n`);
  if (error !== null) stderr.write(`logkeep: ${printable(`${error.message} (${error.remedy})`)}\n`);
}

function jobNamed(name: string): Job {
  const found = JOBS.find((job) => job.name === name);
  if (found !== undefined) return found;
  const names = JOBS.map((job) => job.name);
  const meant = nearest(name, names);
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  throw new LogkeepError(
    'config',
    `run: ${JSON.stringify(name.slice(0, 100))}: expected one of ${names.join(', ')}${hint}`,
  );
}
