import { countText, lengthText } from '../amounts.ts';
import type { Clock } from '../clock.ts';
import { type ErrorKind, isFailure, REMEDY } from '../errors.ts';
import { includesScope, mayOverlap } from '../sources/scope.ts';
import type { Quota, Stream } from '../sources/source.ts';
import { type Finding, fine, note, trouble } from './finding.ts';

const PATIENCE_MS = 20_000;
/** The Date header knows whole seconds, and an answer takes its time. */
const SKEW_MATTERS_MS = 5_000;

/** Where the general remedy does not lead on from `check` itself. */
const REMEDY_HERE: Partial<Record<ErrorKind, string>> = {
  auth: 'fix the credentials as described above',
  unavailable: 'check the address, the network and any proxy in between; the service may be down',
  protocol: 'check the address: what answers there is not the API',
  aborted: 'check the address and the network',
};

/** Whether one cheap request is answered: the key, its permission, its region or site, then both clocks. */
export async function checkStream(
  stream: Stream,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const subject = stream.id;
  const startedMs = clock.now();
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    const { skewMs, quota } = await stream.probe(AbortSignal.any([signal, patience]));
    const found = `the API accepts the key; answered in ${lengthText(clock.now() - startedMs)}${quotaText(quota)}`;
    return [fine(subject, found), clockFinding(subject, skewMs)];
  } catch (error) {
    if (!isFailure(error) || signal.aborted) throw error;
    if (patience.aborted) return [silence(subject, stream.quota(), clock)];
    const remedy = error.remedy ?? REMEDY_HERE[error.kind] ?? REMEDY[error.kind];
    return [trouble(subject, error.message.replace(`${subject}: `, ''), remedy)];
  }
}

function clockFinding(subject: string, skewMs: number | null): Finding {
  if (skewMs === null) {
    return trouble(
      subject,
      'its answers have no Date header, which tells logkeep how far it may claim to have read',
      'check the address and any proxy in between: the API itself sends one',
    );
  }
  const off = lengthText(Math.abs(skewMs));
  if (Math.abs(skewMs) < SKEW_MATTERS_MS) {
    return fine(subject, 'its clock and ours agree');
  }
  return trouble(
    subject,
    `the clock of this machine is ${off} ${skewMs > 0 ? 'behind' : 'ahead of'} the API's`,
    "synchronize the clock of this machine with NTP; coverage is counted by the API's clock, so nothing is lost meanwhile",
  );
}

function silence(subject: string, quota: Quota, clock: Clock): Finding {
  const { remaining, resetMs } = quota;
  const waits = remaining !== null && resetMs !== null && resetMs > clock.now();
  return trouble(
    subject,
    `no answer within ${lengthText(PATIENCE_MS)}${waits ? `; the quota leaves ${countText(remaining)} requests` : ''}`,
    waits
      ? `wait ${lengthText(resetMs - clock.now())} for the next quota window, or lower quota_reserve`
      : 'check the address and the network',
  );
}

function quotaText({ limit, remaining }: Quota): string {
  if (remaining === null) return '';
  return `, quota left ${countText(remaining)}${limit === null ? '' : ` of ${countText(limit)}`}`;
}

/**
 * Pairs of streams whose entries are stored twice, once under each name: trouble where one shows all that the other
 * shows, a note where nothing keeps the two apart.
 */
export function overlaps(streams: readonly Stream[]): readonly Finding[] {
  return streams.flatMap((a, index) =>
    streams
      .slice(index + 1)
      .filter((b) => a.source === b.source && mayOverlap(a.scope, b.scope))
      .map((b) => overlap(a, b)),
  );
}

function overlap(a: Stream, b: Stream): Finding {
  const outer = includesScope(a.scope, b.scope) ? a : includesScope(b.scope, a.scope) ? b : null;
  if (outer === null) {
    return note(
      b.id,
      `may overlap ${a.id}: an entry that matches both filters is stored twice, once under each name`,
      `narrow the filters of ${a.id} or ${b.id}, or ignore this if you know that they have no entries in common`,
    );
  }
  const inner = outer === a ? b : a;
  const same = a.fingerprint === b.fingerprint;
  return trouble(
    inner.id,
    `${same ? 'asks for the same entries as' : 'its entries are among those of'} ${outer.id}: they are stored twice, once under each name`,
    `remove ${inner.id}, or narrow the filters of ${outer.id} so that the two do not overlap`,
  );
}
