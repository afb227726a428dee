import { canonicalJson } from '../src/json.ts';
import { rebuildDatadog } from '../src/sources/datadog/rebuild.ts';
import { rebuildQstash } from '../src/sources/qstash/rebuild.ts';
import type { StoredRow } from '../src/sources/rebuild.ts';
import type { World } from './world.ts';

/** Columns as rebuilding wants them: times in ms, jsonb as its text. */
const QSTASH_LOG = `entry_id, message_id, state, url, error, response_status, response_headers::text, response_body, duration_ms,
  extra::text, escaped, request_hash, (extract(epoch from time) * 1000)::float8 as time,
  (extract(epoch from next_delivery_time) * 1000)::float8 as next_delivery_time`;
const QSTASH_REQUEST = `message_id, hash, max_retries, parallelism, rate, period, timeout_ms, escaped, method, header::text, body,
  queue_name, schedule_id, topic_name, endpoint_name, callback, callback_headers::text, failure_callback,
  failure_callback_headers::text, retry_delay_expression, label, labels, caller_ip, host, path, flow_control_key, extra::text`;
const DATADOG_LOG = `event_id, id, host, service, status, source, message, tags, attributes::text, extra::text, escaped,
  (extract(epoch from timestamp) * 1000)::float8 as timestamp`;

/** Every stored QStash entry, rebuilt, in one spelling, sorted. */
export async function storedQstash(world: Pick<World, 'query'>): Promise<readonly string[]> {
  const logs = await world.query<StoredRow>(`select ${QSTASH_LOG} from logkeep.qstash_log`);
  const requests = await world.query<StoredRow>(`select ${QSTASH_REQUEST} from logkeep.qstash_request`);
  const byKey = new Map(requests.map((request) => [`${request.message_id} ${request.hash}`, request]));
  return logs
    .map((log) => rebuildQstash(log, byKey.get(`${log.message_id} ${log.request_hash}`) ?? null))
    .map(shownAlike)
    .sort();
}

/** Every entry that the view `qstash_entry` shows, rebuilt from its columns alone, in one spelling, sorted. */
export async function viewedQstash(world: Pick<World, 'query'>): Promise<readonly string[]> {
  const ofLog = QSTASH_LOG.replace(' request_hash,', '');
  const ofRequest = QSTASH_REQUEST.replace(' hash,', '')
    .replace('message_id, ', '')
    .replace('escaped, ', '')
    .replace('extra::text', 'request_extra::text');
  const rows = await world.query<StoredRow>(`select ${ofLog}, ${ofRequest} from logkeep.qstash_entry`);
  return rows
    .map((row) => rebuildQstash(row, { ...row, extra: row.request_extra }))
    .map(shownAlike)
    .sort();
}

/** Every stored Datadog log, rebuilt, in one spelling, sorted. */
export async function storedDatadog(
  world: Pick<World, 'query'>,
  transport: 'v1' | 'v2' = 'v1',
): Promise<readonly string[]> {
  const logs = await world.query<StoredRow>(`select ${DATADOG_LOG} from logkeep.datadog_log`);
  return logs.map((log) => shownAlike(rebuildDatadog(log, transport))).sort();
}

/** Entries in one spelling, sorted, each once, secret headers hidden: what tables that hold each once must give back. */
export function onceEach(entries: readonly { readonly text: string }[]): readonly string[] {
  return [...new Set(entries.map(({ text }) => hideSecrets(spelt(text))))].sort();
}

function hideSecrets(text: string): string {
  return text.replace(
    /("(?:Authorization|Cookie)":\[)([^\]]*)\]/g,
    (_, name: string, values: string) => `${name}${values.replace(/"[^"]*"/g, '"HIDDEN"')}]`,
  );
}

function shownAlike(text: string): string {
  return spelt(text).replace(/"REDACTED:hmac:[0-9a-f]{32}"/g, '"HIDDEN"');
}

/** What `canonicalJson` made of the texts of late: tests compare the same rows again and again. */
const spellings = new Map<string, string>();

function spelt(text: string): string {
  const known = spellings.get(text);
  if (known !== undefined) return known;
  const canonical = canonicalJson(text);
  if (spellings.size >= 5_000) spellings.clear();
  spellings.set(text, canonical);
  return canonical;
}

/** Tables of both sources and of progress, as lines that differ when anything was written. */
export async function footprint(world: Pick<World, 'query'>): Promise<readonly string[]> {
  const tables = ['qstash_log', 'qstash_request', 'qstash_message', 'datadog_log', 'quarantine'];
  const lines: string[] = [];
  for (const table of tables) {
    const rows = await world.query<{ line: string }>(
      `select tableoid::regclass || ' ' || ctid || ' ' || xmin || ' ' || xmax as line from logkeep.${table}`,
    );
    lines.push(...rows.map(({ line }) => `${table} ${line}`));
  }
  return lines.sort();
}

/** What is in one list alone, shortened: empty for lists that hold the same, each thing as often. */
export function difference(
  stored: readonly string[],
  wanted: readonly string[],
): Record<'missing' | 'extra', string[]> {
  const left = new Map<string, number>();
  for (const text of stored) left.set(text, (left.get(text) ?? 0) + 1);
  const missing: string[] = [];
  for (const text of wanted) {
    const times = left.get(text) ?? 0;
    if (times === 0) missing.push(text);
    else left.set(text, times - 1);
  }
  const extra = [...left].flatMap(([text, times]) => Array<string>(times).fill(text));
  return { missing: missing.slice(0, 3), extra: extra.slice(0, 3) };
}

/** The same lists. */
export const NO_DIFFERENCE = { missing: [], extra: [] };
