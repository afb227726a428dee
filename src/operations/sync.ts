import { lengthText } from '../amounts.ts';
import type { App, OpenStream } from '../app.ts';
import { formatDuration, resolveMoment } from '../durations.ts';
import type { Ms, Span } from '../model.ts';
import type { Stream, StreamSettings } from '../sources/source.ts';
import { readBackfillState } from '../store/backfill.ts';
import type { RunEvent } from '../sync/run.ts';
import { length, subtract } from '../sync/spans.ts';
import { planAgain, refuseUnasked } from './again.ts';
import { pacedPlan } from './pacing.ts';
import { type ReadResult, readStream } from './read.ts';

/** How far before a `since` that reaches to the retention's edge a first read begins; see `Ask.leadMs`. */
const FIRST_LEAD_MS = 60_000;

/** Less than this of what is asked for may expire before a read of it begins. */
const LEAST_LOST_MS = 1_000;

/** What a sync is asked for, beyond the settings. */
export interface SyncAsk {
  /** Begin here instead of where the settings say. */
  readonly since: StreamSettings['since'] | null;
  readonly untilMs: Ms | null;
  /** A span that was asked for before, to read once more. */
  readonly again: Span | null;
  readonly signal: AbortSignal;
  readonly mayRequest: () => boolean;
  /**
   * True for a tick: it leaves to a later one a newest tail that the quota is too short for, and what a backfill has in
   * hand. Absent: all is read.
   */
  readonly paced?: boolean;
  readonly watch: (stream: Stream, event: RunEvent) => void;
}

/**
 * Reads all of the app's streams at once. One stream's trouble is in its result and stops that stream alone. Throws
 * `config` before anything starts where a stream was never asked for what is to be read again.
 */
export async function syncStreams(app: App, ask: SyncAsk): Promise<readonly ReadResult[]> {
  const { again, since } = ask;
  if (again !== null) {
    for (const open of app.streams) {
      await refuseUnasked(app, open, again, beginning(since, open.settings, app.clock.now()).askedFrom);
    }
  }
  const results = await Promise.allSettled(app.streams.map((open) => syncStream(app, open, ask)));
  // A bug is thrown only after the others have finished their batches.
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** Reads one stream from what is not covered yet up to now. Its trouble is in the result; a bug is thrown. */
export async function syncStream(app: App, open: OpenStream, ask: SyncAsk): Promise<ReadResult> {
  const { askedFrom, leadMs } = beginning(ask.since, open.settings, app.clock.now());
  await warnOfExpired(app, open, ask.since, askedFrom);
  return readStream(app, open, {
    job: 'sync',
    plan: ask.paced === true ? pacedPlan(app, open) : planAgain,
    askedFrom,
    rolling: 'agoMs' in (ask.since ?? open.settings.since),
    leadMs,
    untilMs: ask.untilMs,
    again: ask.again,
    // A tick leaves what a backfill has in hand to a later one, rather than the newest tail unread until then.
    waits: ask.paced !== true,
    settlesAfterMs: null,
    signal: ask.signal,
    mayRequest: ask.mayRequest,
    watch: (event) => ask.watch(open.stream, event),
  });
}

/**
 * Says so where more is asked for than the API still shows, before it is read: it will stay among the gaps. Where the
 * settings ask for it, once; a failure to look is left to the reading.
 */
async function warnOfExpired(
  { store, clock, log }: App,
  { stream, settings }: OpenStream,
  said: SyncAsk['since'],
  askedFrom: Ms,
): Promise<void> {
  const { retentionMs } = settings;
  const edge = clock.now() - retentionMs;
  if (askedFrom >= edge) return;
  const state = await readBackfillState(store.pool, stream).catch(() => null);
  const asked = said === null ? Math.min(edge, state?.progress.askedFrom ?? edge) : edge;
  const lostMs = length(subtract([{ from: askedFrom, to: asked }], state?.progress.covered ?? []));
  if (lostMs < LEAST_LOST_MS) return;
  const since = said ?? settings.since;
  const value = 'agoMs' in since ? formatDuration(since.agoMs) : new Date(since.atMs).toISOString();
  log.warn(
    { stream: stream.id },
    `${said === null ? 'since' : '--since'}: ${value}: reaches ${lengthText(lostMs)} beyond the retention of ${lengthText(retentionMs)}: what the API no longer holds will be listed as expired by \`logkeep gaps\` permanently; set \`retention\` if your plan or index keeps entries longer, or ask for a shorter ${said === null ? 'since' : '--since'}`,
  );
}

/**
 * A `since` that was not said, or that reaches to the retention's edge, means "all there is": what expires while it
 * is being read was never owed, so the asked time begins a little later than the reading. A longer one, or a fixed
 * time, is owed to the letter, and what the API no longer shows of it becomes an expired span.
 */
export function beginning(
  said: SyncAsk['since'],
  settings: StreamSettings,
  nowMs: Ms,
): { askedFrom: Ms; leadMs: number } {
  const since = said ?? settings.since;
  const edgeMs = settings.retentionMs - FIRST_LEAD_MS;
  const atEdge = 'agoMs' in since && since.agoMs <= settings.retentionMs && since.agoMs > edgeMs;
  if (!atEdge) return { askedFrom: resolveMoment(since, nowMs), leadMs: 0 };
  const reachMs = said === null ? (settings.reachMs ?? 0) : 0;
  return { askedFrom: nowMs - edgeMs, leadMs: Math.max(since.agoMs, reachMs) - edgeMs };
}
