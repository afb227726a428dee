import type { ReadResult } from '../../src/operations/read.ts';
import { type SweepAsk, sweepStream } from '../../src/operations/sweep.ts';
import { parseSpans, spansColumn } from '../../src/store/coverage.ts';
import type { World, WorldOptions } from '../world.ts';

/** Opens the app, sweeps its first stream once, closes it. */
export async function sweep(
  world: World,
  ask: Partial<SweepAsk> = {},
  changes: Partial<WorldOptions> = {},
): Promise<ReadResult> {
  const app = await world.open(changes);
  try {
    const [open] = app.streams;
    if (open === undefined) throw new Error('the world has no stream');
    return await sweepStream(app, open, {
      signal: new AbortController().signal,
      mayRequest: () => true,
      watch: () => {},
      ...ask,
    });
  } finally {
    await app.close();
  }
}

/** A stream's spans in ms, such as what is settled. */
export async function spansOf(
  world: World,
  column: 'covered' | 'settled' | 'expired',
  stream: string,
): Promise<readonly { from: number; to: number }[]> {
  const [row] = await world.query<{ spans: string }>(
    `select ${spansColumn(column)} as spans from logkeep.stream where stream = $1 and active`,
    [stream],
  );
  return parseSpans(row?.spans ?? '[]');
}
