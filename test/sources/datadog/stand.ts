import type { ServerResponse } from 'node:http';
import type { Ms } from '../../../src/model.ts';
import { json, type Seen } from '../stand.ts';

export interface Log {
  readonly ms: Ms;
  /** Orders the logs of one ms. */
  readonly tie: number;
  readonly inner: string;
  readonly id: string;
  readonly message: string;
}

/** An id of layout 3 as the service makes them; another `fragment` is the same log after compaction. */
export function idOf(ms: Ms, tie: number, inner: string, fragment = 0): string {
  const id = Buffer.alloc(85);
  id.writeUInt8(3, 0);
  id.writeBigUInt64BE(BigInt(ms), 1);
  id.writeInt32BE(tie, 9);
  id.writeUInt32BE(24, 13);
  id.write(inner, 17, 'latin1');
  id.writeUInt32BE(36, 41);
  id.write(`00000000-0000-4000-8000-${String(fragment).padStart(12, '0')}`, 45, 'latin1');
  id.writeUInt32BE(7, 81);
  return id.toString('base64url');
}

/** A log whose inner id holds its intake time, a second after `ms`. */
export function log(ms: Ms, tie = 0, message = '', fragment = 0): Log {
  const bytes = Buffer.alloc(18);
  bytes.writeUIntBE(ms + 1_000, 0, 6);
  bytes.writeInt32BE(tie, 6);
  const inner = bytes.toString('base64url');
  return { ms, tie, inner, message, id: idOf(ms, tie, inner, fragment) };
}

/** A request's body as both versions send it, in one form. */
export function asked(request: Seen): {
  from: Ms;
  to: Ms;
  limit: number;
  cursor: string | null;
  descending: boolean;
} {
  const body = JSON.parse(request.body);
  const time = body.time ?? body.filter;
  const after = body.page?.cursor ?? null;
  return {
    from: Date.parse(time.from),
    to: Date.parse(time.to),
    limit: body.limit ?? body.page.limit,
    descending: body.sort === 'desc' || body.sort === '-timestamp',
    cursor:
      body.startAt ?? (after === null ? null : JSON.parse(Buffer.from(after, 'base64url').toString()).after),
  };
}

/** An API that holds `logs` (ascending) and pages through them; `inclusive`: whether `to` belongs to a window. */
export function holding(logs: () => readonly Log[], inclusive = true) {
  return (request: Seen, response: ServerResponse): void => {
    const { from, to, limit, cursor, descending } = asked(request);
    const ordered = descending ? logs().toReversed() : logs();
    const all = ordered.filter(({ ms }) => ms >= from && (inclusive ? ms <= to : ms < to));
    const isV2 = request.url.pathname.startsWith('/api/v2');
    const at = cursor === null ? -1 : all.findIndex(({ id }) => id === cursor);
    // A cursor that is not in the window is ignored.
    const start = at < 0 ? 0 : at + (isV2 ? 1 : 0);
    const page = all.slice(start, start + limit);
    if (!isV2) {
      const next = all[start + limit]?.id ?? null;
      json(response, { status: 'done', nextLogId: next, requestId: 'r', logs: page.map(toV1) });
      return;
    }
    const last = page.at(-1);
    if (last === undefined) {
      json(response, { data: [] });
      return;
    }
    const after = Buffer.from(JSON.stringify({ after: last.id })).toString('base64url');
    json(response, { meta: { page: { after }, status: 'done' }, data: page.map(toV2) });
  };
}

function toV1({ id, ms, message }: Log) {
  return { id, content: { timestamp: new Date(ms).toISOString(), message, tags: [] } };
}

function toV2({ id, ms, message }: Log) {
  return {
    id,
    type: 'log',
    attributes: { timestamp: new Date(ms).toISOString(), message, tags: [], status: 'info' },
  };
}
