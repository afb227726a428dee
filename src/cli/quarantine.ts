import { amountText, countText, timeText } from '../amounts.ts';
import { type App, openStreams } from '../app.ts';
import { LogkeepError } from '../errors.ts';
import { keepHidden } from '../redact.ts';
import { createHttp } from '../sources/http.ts';
import { isRow, type RejectReason, type Row, type Stream } from '../sources/source.ts';
import { asDatabaseError, naming } from '../store/database.ts';
import {
  beginReturn,
  listWaiting,
  readWaiting,
  type Waiting,
  type WaitingQuery,
} from '../store/quarantine.ts';
import type { CliContext, Run } from './command.ts';
import { withReadyApp } from './open.ts';
import { printable, tableText } from './table.ts';

const BATCH = 500;
const MOST = 1_000_000;
/** Twins stay: their rows are there already, and the other twin is what quarantine keeps. */
const TWIN = 'identity_clash';
/** Stays unless it is named: a row of each absurd time would need partitions of its own, perhaps thousands. */
const ABSURD = 'time_out_of_bounds';

/** `logkeep quarantine list`: what waits and why, newest first. */
export const list: Run<'quarantine list'> = (options, context) =>
  withReadyApp(options, context, async (app) => {
    const { stream: streams, reason, limit } = options;
    const found = await waiting(app, { ids: [], streams, reason }, limit + 1);
    const shown = found.slice(0, limit);
    if (options.json) context.stdout.write(`${JSON.stringify({ entries: shown.map(asJson) }, null, 2)}\n`);
    else if (shown.length === 0) {
      const chosen = reason === null && streams.length === 0 ? '' : ' that matches';
      context.stdout.write(`nothing${chosen} waits in quarantine\n`);
    } else {
      const head = ['id', 'stream', 'reason', 'time of entry', 'first seen', 'characters'];
      const rows = shown.map(({ id, stream, reason, timeMs, firstSeenMs, chars }) => {
        const time = timeMs === null ? null : timeText(timeMs);
        return [id, stream, reason, time, timeText(firstSeenMs), chars];
      });
      context.stdout.write(tableText(head, rows, [0]));
      context.stderr.write(
        '`logkeep quarantine show ID` shows the entry; `retry` tries again to make rows\n',
      );
    }
    if (found.length > limit)
      context.stderr.write(`only the newest ${countText(limit)}: --limit shows more\n`);
    return 0;
  });

/** `logkeep quarantine show`: one entry with its raw text, in which no control character reaches the terminal. */
export const show: Run<'quarantine show'> = (options, context) =>
  withReadyApp(options, context, async (app) => {
    const [entry] = await waiting(app, { ids: [options.id], streams: [], reason: null }, 1);
    const raw = (await naming('read the quarantine', () => readWaiting(app.store.db, [options.id]))).get(
      options.id,
    );
    if (entry === undefined || raw === undefined) throw notThere([options.id]);
    if (options.json) {
      context.stdout.write(`${JSON.stringify({ ...asJson(entry), raw }, null, 2)}\n`);
      return 0;
    }
    const { id, stream, reason, timeMs, firstSeenMs } = entry;
    const time = timeMs === null ? 'unknown' : timeText(timeMs);
    context.stdout.write(
      `${id}: ${stream}: ${reason}; time of entry ${time}, first seen ${timeText(firstSeenMs)}\n${printable(raw)}\n`,
    );
    return 0;
  });

/** Why an entry stays; `not_named`: its time was not asked for, and its id was not given. */
type Staying = RejectReason | 'not_named' | 'not_configured' | 'stopped';

/** The same for people; `named`: the ids as a command takes them. */
const WHY: Readonly<Record<Staying, (named: string) => string>> = {
  not_an_object: () => 'not_an_object: it is no JSON object',
  no_time: () => 'no_time: it has no time in whole milliseconds',
  no_id: () => 'no_id: it has no id that could tell it from others',
  too_large: () => 'too_large: its id is longer than an index holds',
  identity_clash: () =>
    'identity_clash: a twin: an entry with the same identity and other content is a row already',
  time_out_of_bounds: () =>
    'time_out_of_bounds: before 2000, or more than two days ahead: no row is made of such a time; `logkeep quarantine show ID` shows the entry',
  not_named: (named) =>
    `time_out_of_bounds: its time was not asked for: \`logkeep quarantine retry ${named}\` stores it all the same`,
  not_configured: () => 'not configured now: expected its settings, to know how to read its entries',
  stopped: () => 'stopped before it was tried: run it again',
};
/** So many ids stand in a line. */
const MOST_IDS = 10;

/** What came of the entries of one stream; of each that stays, by id, why. */
interface Retried {
  readonly stream: string;
  readonly rows: number;
  readonly fresh: number;
  readonly staying: ReadonlyMap<string, Staying>;
}

/** `logkeep quarantine retry`: what this version can make rows of leaves quarantine; the rest stays. */
export const retry: Run<'quarantine retry'> = (options, context) =>
  withReadyApp(options, context, async (app) => {
    const found = await waiting(app, { ids: options.ids, streams: options.stream, reason: null }, MOST);
    const missing = options.ids.filter((id) => !found.some((entry) => entry.id === id));
    if (missing.length > 0) throw notThere(missing);
    const http = createHttp({ clock: app.clock });
    try {
      const settings = app.streams.map((open) => open.settings);
      const redactor = keepHidden(app.redactor);
      const streams = openStreams(settings, { clock: app.clock, redactor, http });
      const results: Retried[] = [];
      for (const name of [...new Set(found.map(({ stream }) => stream))].sort()) {
        const mine = found.filter((entry) => entry.stream === name);
        const stream = streams.find((open) => open.stream.id === name)?.stream ?? null;
        const result = await bringBack(app, stream, mine, options.ids.length > 0, context.signal);
        results.push({ stream: name, ...result });
        if (!options.json) tell({ stream: name, ...result }, context);
      }
      if (options.json) {
        const streams = results.map(({ stream, rows, fresh, staying }) => ({
          stream,
          rows,
          new: fresh,
          known: rows - fresh,
          staying: staying.size,
          reasons: Object.fromEntries([...byReason(staying)].map(([reason, ids]) => [reason, ids.length])),
        }));
        context.stdout.write(`${JSON.stringify({ streams }, null, 2)}\n`);
      } else if (results.length === 0) context.stdout.write('nothing waits in quarantine\n');
      return results.some(({ staying }) => byReason(staying).has('stopped')) ? 1 : 0;
    } finally {
      await http.close();
    }
  });

function tell({ stream, rows, fresh, staying }: Retried, { stdout, stderr }: CliContext): void {
  stdout.write(
    `${stream}: ${amountText(rows, 'entry', 'entries')} became rows (${countText(fresh)} new, ${countText(rows - fresh)} known), ${amountText(staying.size, 'stays', 'stay')}\n`,
  );
  for (const [reason, ids] of byReason(staying)) {
    const few = ids.length <= MOST_IDS;
    const shown = few ? ids.join(', ') : `${ids.slice(0, MOST_IDS).join(', ')} and others`;
    stderr.write(
      `${stream}: ${amountText(ids.length, 'entry stays', 'entries stay')} (${shown}): ${WHY[reason](few ? ids.join(' ') : 'ID...')}\n`,
    );
  }
}

function byReason(staying: Retried['staying']): ReadonlyMap<Staying, readonly string[]> {
  return Map.groupBy(staying.keys(), (id) => staying.get(id) as Staying);
}

/** Loads those of one stream that can be rows; null: it is not configured. `named`: their ids were given. */
async function bringBack(
  app: App,
  stream: Stream | null,
  entries: readonly Waiting[],
  named: boolean,
  signal: AbortSignal,
): Promise<Omit<Retried, 'stream'>> {
  const staying = new Map<string, Staying>(
    entries.map(({ id, reason }) => [
      id,
      reason === TWIN ? TWIN : stream === null ? 'not_configured' : 'stopped',
    ]),
  );
  const tried = entries.filter(({ reason }) => reason !== TWIN);
  if (stream === null || tried.length === 0) return { rows: 0, fresh: 0, staying };
  const absurd = new Set(tried.filter(({ reason }) => reason === ABSURD).map(({ id }) => id));
  const run = await naming('begin a retry', () => beginReturn(app.store, app.partitions, stream, app.holder));
  let rows = 0;
  let fresh = 0;
  try {
    for (let at = 0; at < tried.length && !signal.aborted; at += BATCH) {
      const ids = tried.slice(at, at + BATCH).map(({ id }) => id);
      const ready = new Map<string, Row>();
      for (const [id, text] of await readWaiting(app.store.db, ids)) {
        const made = stream.normalise(text);
        if (!isRow(made)) staying.set(id, made.reason);
        else if (absurd.has(id) && !named) staying.set(id, 'not_named');
        else ready.set(id, made);
      }
      if (ready.size === 0) continue;
      fresh += await run.load([...ready.values()], [...ready.keys()]);
      rows += ready.size;
      for (const id of ready.keys()) staying.delete(id);
    }
    await run.end('done', null);
  } catch (error) {
    const failure = asDatabaseError(`${stream.id}: bring entries back from quarantine`, error);
    await run.end('failed', failure as Error).catch(() => undefined);
    throw failure;
  }
  return { rows, fresh, staying };
}

function waiting(app: App, query: WaitingQuery, limit: number): Promise<readonly Waiting[]> {
  return naming('read the quarantine', () => listWaiting(app.store.db, query, limit));
}

function notThere(ids: readonly string[]): LogkeepError {
  return new LogkeepError(
    'config',
    `quarantine has no ${ids.join(', ')}: expected a number from \`logkeep quarantine list\``,
  );
}

function asJson({
  id,
  stream,
  reason,
  timeMs,
  firstSeenMs,
  chars,
}: Waiting): Readonly<Record<string, unknown>> {
  const time = timeMs === null ? null : new Date(timeMs).toISOString();
  return { id, stream, reason, time, first_seen_at: new Date(firstSeenMs).toISOString(), characters: chars };
}
