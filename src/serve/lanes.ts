import type { Job } from '../../jobs/job.ts';
import type { App } from '../app.ts';

/** How many may share the job's work on a stream now, 1 at least; `stream` null: of no stream. Throws LogkeepError. */
export async function lanesOf(job: Job, stream: string | null, app: App): Promise<number> {
  if (!job.perStream || job.lanes === undefined) return 1;
  const open = app.streams.find(({ stream: { id } }) => id === stream);
  return open === undefined ? 1 : await job.lanes(app, open);
}
