import { backfill } from './backfill.ts';
import type { Job } from './job.ts';
import { sweep } from './sweep.ts';
import { sync } from './sync.ts';
import { trim } from './trim.ts';

/** The timetable: every job there is, the most urgent first. */
export const JOBS: readonly Job[] = [sync, sweep, backfill, trim];
