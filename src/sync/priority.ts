import type { JobKind } from '../model.ts';

/** Who is served first where requests are short, from 0 (first) to 9: live before sweep before backfill. */
export const PRIORITY: Readonly<Record<JobKind, number>> = { sync: 2, sweep: 5, backfill: 8 };
