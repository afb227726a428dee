import { amountText, countText, lengthText } from '../amounts.ts';
import type { App, OpenStream } from '../app.ts';
import { HOUR_MS } from '../clock.ts';
import { betweenTicks, scheduleNoQuicker } from '../config/schedule.ts';
import type { Ms } from '../model.ts';
import type { Quota } from '../sources/source.ts';
import { readQuotas } from '../store/quota.ts';
import type { StreamStatus } from '../store/status.ts';
import { planWindows } from '../sync/plan.ts';
import type { RunOptions } from '../sync/run.ts';
import { isEarly, keptFor, paceFor, type Reader, type Spread } from '../sync/spread.ts';

/** A stream whose schedule asks for more than its quota carries. */
export interface Overasking extends Spread {
  readonly stream: string;
  readonly schedule: string;
  /** Streams that share the quota, this one included. */
  readonly streams: number;
  /** Requests an hour that the schedules of these streams ask for. */
  readonly asked: number;
  /** Requests an hour that the quota allows, less the reserve. */
  readonly allowed: number;
  /** A schedule that it carries. */
  readonly carried: string;
}

/** Quotas by their `credential`. */
export type Quotas = ReadonlyMap<string, Quota>;

/**
 * What a tick reads: everything that is due, except a newest tail that the quota is too short to read yet. The gate
 * knows the quota from its last answer; while it knows nothing (at the start, and in a new window) everything is read.
 */
export function pacedPlan(app: App, open: OpenStream): RunOptions['plan'] {
  return (progress, ask) => {
    const spread = spreadNow(open, app.streams, open.stream.quota(), app.clock.now());
    return spread !== null && isEarly(progress, ask, spread) ? [] : planWindows(progress, ask);
  };
}

/** How a stream's reads are spread over the rest of the window, among `streams`; null: it is read as its schedule says. */
function spreadNow(
  open: OpenStream,
  streams: readonly OpenStream[],
  { limit, remaining, resetMs }: Quota,
  nowMs: Ms,
): Spread | null {
  if (remaining === null || resetMs === null) return null;
  const sharing = sharingWith(open, streams);
  const spare = remaining - (limit === null ? 0 : keptOf(sharing, limit));
  return slowerThan(open, paceFor(spare, resetMs - nowMs, sharing.map(asReader)));
}

/** How a stream's reads are spread by what is on record of its quota, whoever heard it; null: not at all. */
export function spreadOnRecord(
  open: OpenStream,
  streams: readonly OpenStream[],
  quotas: Quotas,
  nowMs: Ms,
): Spread | null {
  const quota = quotas.get(credentialOf(open) ?? '');
  if (quota === undefined) return null;
  if (quota.remaining !== null) return spreadNow(open, streams, quota, nowMs);
  return overaskingOf(open, streams, quota);
}

/** The streams whose schedules ask for more than their quotas carry, as far as these are known. */
export function overasking(streams: readonly OpenStream[], quotas: Quotas): readonly Overasking[] {
  return streams.flatMap((open) => {
    const quota = quotas.get(credentialOf(open) ?? '');
    return (quota === undefined ? null : overaskingOf(open, streams, quota)) ?? [];
  });
}

/** What is on record of the quotas of all streams. Throws `database`. */
export function readQuotasOf(app: App): Promise<Quotas> {
  return readQuotas(app.store.pool, credentialsOf(app.streams), app.clock.now());
}

/**
 * `statuses` with the quota that is on record of each stream's credential, whichever stream or process was told it last,
 * by the database's clock as all else in them; where none is on record, what the stream itself was told. Throws `database`.
 */
export async function withQuotas(
  { store, streams }: Pick<App, 'store' | 'streams'>,
  statuses: readonly StreamStatus[],
): Promise<readonly StreamStatus[]> {
  const quotas = await readQuotas(store.pool, credentialsOf(streams), statuses[0]?.nowMs ?? 0);
  return statuses.map((status) => {
    const open = streams.find(({ stream }) => stream.id === status.stream);
    const quota = open && quotas.get(credentialOf(open) ?? '');
    return quota === undefined ? status : { ...status, quota };
  });
}

/** What schedules ask for and a quota allows, and what comes of it; without the stream's name. */
export function overaskingText(one: Overasking): string {
  const { schedule, streams, asked, allowed } = one;
  const others = streams === 1 ? '' : ', with the others of its credential,';
  return `its schedule "${schedule}"${others} asks for ${amountText(asked, 'request')} an hour, and the quota allows ${countText(allowed)} beyond the reserve: it is ${spreadText(one)}`;
}

/** `read every 14 s instead of every 5 s`. */
export function spreadText({ everyMs, paceMs }: Spread): string {
  return `read every ${lengthText(Math.round(paceMs / 1000) * 1000)} instead of every ${lengthText(everyMs)}`;
}

function overaskingOf(
  open: OpenStream,
  streams: readonly OpenStream[],
  { limit, periodMs }: Quota,
): Overasking | null {
  if (limit === null || typeof periodMs !== 'number') return null;
  const sharing = sharingWith(open, streams);
  const allowed = limit - keptOf(sharing, limit);
  const readers = sharing.map(asReader);
  const spread = slowerThan(open, paceFor(allowed, periodMs, readers));
  return (
    spread && {
      ...spread,
      stream: open.stream.id,
      schedule: open.settings.schedule,
      streams: sharing.length,
      asked: Math.round(readers.reduce((sum, { everyMs, cost }) => sum + (cost * HOUR_MS) / everyMs, 0)),
      allowed: Math.floor((allowed * HOUR_MS) / periodMs),
      carried: scheduleNoQuicker(spread.paceMs),
    }
  );
}

function slowerThan({ settings }: OpenStream, paceMs: number): Spread | null {
  const everyMs = betweenTicks(settings.schedule);
  return paceMs > everyMs ? { everyMs, paceMs } : null;
}

function sharingWith(open: OpenStream, streams: readonly OpenStream[]): readonly OpenStream[] {
  const credential = credentialOf(open);
  return streams.filter((one) => one === open || (credential !== null && credentialOf(one) === credential));
}

function credentialsOf(streams: readonly OpenStream[]): readonly string[] {
  return [...new Set(streams.flatMap((open) => credentialOf(open) ?? []))];
}

function credentialOf({ stream }: OpenStream): string | null {
  return stream.quota().credential ?? null;
}

function asReader({ stream, settings }: OpenStream): Reader {
  return { everyMs: betweenTicks(settings.schedule), cost: stream.leastRequests ?? 1 };
}

/** The strictest reserve holds for all who share a quota. */
function keptOf(streams: readonly OpenStream[], limit: number): number {
  return keptFor(Math.max(...streams.map(({ settings }) => settings.reserve)), limit);
}
