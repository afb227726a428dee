import { isFailure, LogkeepError } from '../../errors.ts';
import type { Cursor, Ms } from '../../model.ts';
import type { ReadOptions } from '../source.ts';
import { decodeId } from './id.ts';
import { type DatadogAccess, requestPage } from './request.ts';

/**
 * Event time of the log after `cursor` that alone is longer than the cap. v1's cursor tells it; else it is found
 * by asking for one log of ever smaller windows. `lastMs` is the time of the last log given, null if none was.
 */
export async function locate(
  access: DatadogAccess,
  o: ReadOptions,
  cursor: Cursor | null,
  lastMs: Ms | null,
): Promise<Ms> {
  const asked = cursor === null ? null : access.transport.place(cursor);
  const place = asked === null ? null : decodeId(asked);
  if (place !== null && access.transport.inclusive) return place.eventMs;
  const given = place?.eventMs ?? lastMs;
  if (cursor !== null && given === null) {
    throw new LogkeepError(
      'cursor',
      `${access.api.label}: the log after a resumed cursor is too long, and where it stands is not known: the cursor is lost`,
    );
  }
  const tooLong = async (from: Ms, to: Ms): Promise<boolean> => {
    try {
      await requestPage(access, o, { from, to }, null, 1);
      return false;
    } catch (error) {
      if (isFailure(error, 'oversize')) return true;
      throw error;
    }
  };
  // Logs of the last given ms stand before it, so the search begins behind them.
  const from = given === null ? o.window.from : given + 1;
  if (given !== null && (from > o.window.to || !(await tooLong(from, o.window.to)))) return given;
  let low = from;
  let high = o.window.to;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (await tooLong(from, middle)) high = middle;
    else low = middle + 1;
  }
  // Whether `to` is inclusive is not known: where it is not, the log stands one ms before.
  return low > from && !(await tooLong(low, low + 1)) ? low - 1 : low;
}
