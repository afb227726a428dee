import { amountText, bytesText, countText, isoTime, lengthText, timeText } from '../amounts.ts';
import type { OpenStream } from '../app.ts';
import { remedyOf } from '../errors.ts';
import type { Span, Spans } from '../model.ts';
import type { BackfillResult } from '../operations/backfill.ts';
import type { BackfillPreview, BackfillStatus } from '../operations/backfill-status.ts';
import { length } from '../sync/spans.ts';
import { resultJson } from './sync-report.ts';
import { printable, tableText } from './table.ts';

/** Windows that a plan shows to people. */
const SHOWN = 8;

/** A plan for people: what is missing, what reading it takes, and whether it can be done before it expires. */
export function planText({ stream, settings }: OpenStream, preview: BackfillPreview): string {
  const { wanted, missing, plan, estimate, nowMs } = preview;
  const { id } = stream;
  if (wanted.length === 0)
    return `${id}: no backfill is open; begin one with \`logkeep backfill --from TIME\`\n`;
  const first = wanted[0] as Span;
  const last = wanted.at(-1) as Span;
  const there = length(wanted) - length(missing);
  const lines = [
    `${id}: ${timeText(first.from)} to ${timeText(last.to)}: ${
      missing.length === 0 ? 'nothing is missing' : `${lengthText(length(missing))} are missing`
    }${there === 0 || missing.length === 0 ? '' : `, ${lengthText(there)} are already copied or known to be lost`}`,
    ...lost(plan.expired, settings.retentionMs),
    ...inHand(preview),
  ];
  if (estimate.requests > 0) {
    const rows = plan.windows
      .slice(0, SHOWN)
      .map((one) => [
        timeText(one.from),
        timeText(one.to),
        lengthText(one.from + settings.retentionMs - nowMs),
      ]);
    lines.push(
      `  ${amountText(plan.windows.length, 'window')}, oldest first; at least ${amountText(estimate.requests, 'request')}: ${
        estimate.entries === null
          ? 'how many entries there are is not known, as nothing near is copied'
          : `about ${amountText(estimate.entries, 'entry', 'entries')}, if there are as many as around it`
      }`,
      `  ${timeAtQuota(preview)}`,
      `  ${expiry(preview)}`,
      ...(rows.length === 0
        ? []
        : tableText(['from', 'to', 'expires in'], rows, [2])
            .trimEnd()
            .split('\n')
            .map((line) => `    ${line}`)),
      ...(plan.windows.length > SHOWN ? [`    and ${countText(plan.windows.length - SHOWN)} more`] : []),
    );
  }
  return `${lines.join('\n')}\n`;
}

function lost(expired: Spans, retentionMs: number): readonly string[] {
  if (expired.length === 0) return [];
  const span = { from: (expired[0] as Span).from, to: (expired.at(-1) as Span).to };
  return [
    `  ${lengthText(length(expired))} have expired already, before ${timeText(span.to)}: lost, unless the API keeps entries longer: set \`retention\` (now ${lengthText(retentionMs)}) to that of your plan or index first`,
  ];
}

function inHand({ held, plan }: BackfillStatus): readonly string[] {
  if (plan.inHand.length === 0) return [];
  const who = [
    ...new Set(
      held.map(({ job, holder }) => (holder === null ? `${job} (idle)` : `${job} (${printable(holder)})`)),
    ),
  ];
  return [`  ${lengthText(length(plan.inHand))} are in open windows of ${who.join(', ')}`];
}

function timeAtQuota({ estimate, speed }: BackfillPreview): string {
  if (estimate.timeMs === Number.POSITIVE_INFINITY)
    return 'never at the present quota: the live log and the reserve use all of it';
  const { quota } = speed;
  const pace =
    quota === null
      ? `no quota was reported; ${lengthText(speed.requestMs)} a request, ${countText(speed.parallel)} at once`
      : `${countText(Math.floor(quota.now))} requests now, then ${requestsText(quota.each)} in ${lengthText(quota.periodMs)}, after live log and reserve`;
  return `about ${lengthText(estimate.timeMs)} at the present quota (${pace})`;
}

/** Whole requests, or the part of one that a short window leaves. */
function requestsText(count: number): string {
  return countText(count < 1 ? Math.floor(count * 10) / 10 : Math.floor(count));
}

function expiry({ estimate, nowMs }: BackfillPreview): string {
  const { expiresMs, lateMs, lostMs, lostEntries } = estimate;
  if (expiresMs === null) return 'nothing expires';
  const oldest = `the oldest expires in ${lengthText(Math.max(0, expiresMs - nowMs))}`;
  if (lateMs <= 0) return `${oldest}; all of it can be read before it expires`;
  const late = lateMs === Number.POSITIVE_INFINITY ? '' : ` by ${lengthText(lateMs)}`;
  const entries = lostEntries === null ? '' : ` (${amountText(lostEntries, 'entry', 'entries')})`;
  return `${oldest}; it cannot all be read before it expires${late}: about ${lengthText(lostMs)}${entries} will be lost, although what expires first is read first. To do: lower quota_reserve, reduce what other tools use, or ask for a larger quota`;
}

/** A plan for machines; times as ISO text. */
export function planJson(
  { stream }: OpenStream,
  preview: BackfillPreview,
): Readonly<Record<string, unknown>> {
  const { wanted, missing, plan, estimate, held } = preview;
  const finite = (ms: number) => (Number.isFinite(ms) ? Math.round(ms) : null);
  return {
    stream: stream.id,
    event: 'plan',
    wanted: wanted.map(spanJson),
    missing_ms: length(missing),
    windows: plan.windows.map(spanJson),
    expired: plan.expired.map(spanJson),
    in_hand: held.map((one) => ({ ...spanJson(one), job: one.job, holder: one.holder })),
    entries: estimate.entries,
    requests: estimate.requests,
    /** Null: the quota leaves nothing. */
    time_ms: finite(estimate.timeMs),
    expires_at: isoTime(estimate.expiresMs),
    in_time: estimate.lateMs <= 0,
    late_ms: finite(estimate.lateMs),
    lost_ms: estimate.lostMs,
    lost_entries: estimate.lostEntries,
  };
}

/** Whether something is left that nobody is reading at this moment. */
export function isShort({ outcome, left }: BackfillResult): boolean {
  if (outcome !== 'done' || left === null) return true;
  return left.plan.windows.length > 0 || left.held.some(({ holder }) => holder === null);
}

/** How a backfill went, in a line, and what to do next, where something is left to do. */
export function resultText(result: BackfillResult): { readonly line: string; readonly next: string } {
  const { stream, outcome, error, totals, meter, left } = result;
  const missing = left === null ? 0 : length(left.missing);
  const state =
    outcome === 'failed'
      ? 'failed'
      : outcome === 'stopped'
        ? 'stopped before the end'
        : missing === 0
          ? totals.windows === 0
            ? 'nothing was left to read'
            : 'complete'
          : 'read what was available';
  const deeds = [
    amountText(totals.fresh, 'new entry', 'new entries'),
    `${countText(totals.known)} known`,
    totals.quarantined === 0 ? null : `${countText(totals.quarantined)} quarantined`,
    amountText(totals.windows, 'window'),
    amountText(meter.requests, 'request'),
    meter.waits === 0 ? null : `waited ${lengthText(meter.waitMs)} for quota`,
    bytesText(meter.bytes),
  ].filter((part) => part !== null);
  const line = `${stream.id}: ${state}: ${deeds.join(', ')}${missing === 0 ? '' : `; ${lengthText(missing)} are missing`}\n`;
  if (error !== null) return { line, next: `logkeep: ${printable(error.message)} (${remedyOf(error)})\n` };
  if (outcome === 'stopped')
    return {
      line,
      next: `${stream.id}: run \`logkeep backfill\` to go on; \`logkeep serve\` does it by itself\n`,
    };
  if (left === null || missing === 0) return { line, next: '' };
  return { line, next: `${stream.id}: ${restText(left)}\n` };
}

function restText({ plan, held }: BackfillStatus): string {
  const idle = held.filter(({ holder }) => holder === null).map(({ job }) => job);
  const others = [...new Set(idle.filter((job) => job !== 'backfill'))];
  if (others.length > 0)
    return `the rest is in windows of ${others.join(' and ')}, which no process is reading: run \`logkeep sync\``;
  if (plan.windows.length > 0 || idle.length > 0)
    return 'the rest can be read, but no process is reading it: run `logkeep backfill` to go on';
  if (plan.inHand.length + plan.later.length > 0)
    return 'the rest is being read by other processes or is too recent: `logkeep gaps` shows what is still missing';
  return 'the rest is expiring right now: `logkeep gaps` shows what is lost';
}

/** How a backfill went, for machines. */
export function backfillJson(result: BackfillResult): Readonly<Record<string, unknown>> {
  return { ...resultJson(result), missing: result.left === null ? null : result.left.missing.map(spanJson) };
}

function spanJson({ from, to }: Span): { readonly from: string; readonly to: string } {
  return { from: isoTime(from), to: isoTime(to) };
}
