/** Scheduled work, one file a job: name, schedule, time limit and a `run` of a few lines. The scheduler brings the first. */
export const JOBS: readonly never[] = [];
