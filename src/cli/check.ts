import { lengthText, timeText } from '../amounts.ts';
import { type OpenStream, openStreams } from '../app.ts';
import { type Config, streamVariables } from '../config.ts';
import { resolveMoment } from '../durations.ts';
import type { Log } from '../log.ts';
import { overasking, overaskingText } from '../operations/pacing.ts';
import { createRedactor } from '../redact.ts';
import { createHttp } from '../sources/http.ts';
import { SOURCES } from '../sources/list.ts';
import type { Stream, StreamSettings } from '../sources/source.ts';
import { readStatus, type StreamStatus } from '../store/status.ts';
import { checkDatabase } from './check-database.ts';
import { checkStream, overlaps } from './check-stream.ts';
import type { CliContext, ExitCode, Run } from './command.ts';
import { type Finding, fine, note, trouble } from './finding.ts';
import { chooseStreams, readConfig } from './open.ts';
import { nearExpiry, readerText } from './status-view.ts';
import { printable, tableText } from './table.ts';
import { openCommandLog } from './text-log.ts';

/** How a finding's level stands in the table; notes are for eyes, trouble is for the exit code too. */
const LEVEL: Readonly<Record<Finding['level'], string>> = { ok: 'ok', note: 'note', trouble: 'TROUBLE' };

/** `logkeep check`: every trouble with its remedy; one trouble does not end the search for others. */
export const run: Run<'check'> = async (options, context): Promise<ExitCode> => {
  const config = readConfig(options, context, 'optional');
  const chosen = chooseStreams(config.streams, options.stream);
  const findings: Finding[] = [];
  if (config.streams.length === 0) {
    findings.push(
      trouble(
        'settings',
        'no stream is set, so there is nothing to read',
        `set ${streamVariables(SOURCES)}, or declare streams in logkeep.yaml`,
      ),
    );
  }
  for (const sentence of config.notes) {
    findings.push(
      note(
        'settings',
        sentence,
        `declare a stream for it in ${config.file}, or ignore this if it is intended`,
      ),
    );
  }
  const log = openCommandLog(config.logLevel, options.json, context.stderr);
  const { all, close } = openAll(config, context, log);
  try {
    const asked = all.filter(({ settings }) => chosen.some(({ id }) => id === settings.id));
    findings.push(...(await throughDatabase(config, asked, context, log)));
    findings.push(...(await throughApis(all, asked, context)));
  } finally {
    await close();
  }
  const troubles = findings.filter(({ level }) => level === 'trouble').length;
  if (options.json) {
    context.stdout.write(`${JSON.stringify({ ok: troubles === 0, findings }, null, 2)}\n`);
  } else {
    context.stdout.write(
      tableText(
        ['', 'what', 'found'],
        findings.map(({ level, subject, found }) => [LEVEL[level], subject, found]),
      ),
    );
    for (const { subject, remedy } of findings) {
      if (remedy !== null) context.stderr.write(`${subject}: to do: ${printable(remedy)}\n`);
    }
  }
  return troubles === 0 ? 0 : 1;
};

/** All streams, also those that are not looked at: they draw on the quotas too. Nothing is requested yet. */
function openAll(config: Config, { clock }: CliContext, log: Log) {
  const http = createHttp({ clock });
  // Entries are not kept here, so any key will do.
  const redactor = createRedactor(new Uint8Array(32), config.redact);
  const options = { clock, log, redactor, http };
  return { all: openStreams(config.streams.map(impatient), options), close: () => http.close() };
}

async function throughDatabase(
  config: Config,
  asked: readonly OpenStream[],
  { clock }: CliContext,
  log: Log,
): Promise<readonly Finding[]> {
  return checkDatabase(config, log, async ({ db }) => {
    const known = new Map((await readStatus(db)).map((status) => [status.stream, status]));
    return asked.map((open) => retentionFinding(open, known.get(open.settings.id) ?? null, clock.now()));
  });
}

function retentionFinding(
  { stream, settings }: OpenStream,
  status: StreamStatus | null,
  nowMs: number,
): Finding {
  const { id, since, retentionMs, reachMs } = settings;
  // Progress under other filters says nothing of what is asked for now.
  const changed = status !== null && status.fingerprint !== stream.fingerprint;
  if (status === null || changed || status.untouched) {
    // Where `since` was not said, it looks beyond the retention too.
    const from =
      reachMs === undefined
        ? Math.max(resolveMoment(since, nowMs), nowMs - retentionMs)
        : nowMs - Math.max(retentionMs, reachMs);
    return fine(
      id,
      `not read yet${changed ? ' with these settings' : ''}; the first sync begins at ${timeText(from)}`,
    );
  }
  const { missingFromMs, expiresInMs } = status;
  const missing = `what is not read begins at ${timeText(missingFromMs)}`;
  if (!nearExpiry(status)) {
    return fine(id, `${missing} and expires in ${lengthText(expiresInMs)}`);
  }
  const expiry = expiresInMs <= 0 ? 'and is expiring now' : `and expires in only ${lengthText(expiresInMs)}`;
  const reader = readerText(status);
  if (reader !== null) {
    const remedy = 'see `logkeep why`; no action needed unless it makes no progress';
    return note(id, `${missing} ${expiry}: ${reader}`, remedy);
  }
  return trouble(
    id,
    `${missing} ${expiry}`,
    `run \`logkeep sync --stream ${id}\` now, and more often; if your plan or index keeps entries longer than ${lengthText(retentionMs)}, set retention to that`,
  );
}

async function throughApis(
  all: readonly OpenStream[],
  asked: readonly OpenStream[],
  { clock, signal }: CliContext,
): Promise<readonly Finding[]> {
  const opened = asked.map(({ stream }) => stream);
  const findings = await Promise.all(opened.map((stream) => checkStream(stream, clock, signal)));
  return [...findings.flat(), ...scheduleFindings(all, opened), ...overlaps(opened)];
}

/** Schedules that ask for more than the quotas carry that were just told. */
function scheduleFindings(all: readonly OpenStream[], opened: readonly Stream[]): readonly Finding[] {
  const told = new Map(
    opened
      .map((stream) => stream.quota())
      .flatMap((quota) => (quota.credential ? [[quota.credential, quota]] : [])),
  );
  return overasking(all, told)
    .filter((one) => opened.some(({ id }) => id === one.stream))
    .map((one) =>
      note(
        one.stream,
        overaskingText(one),
        `set schedule to "${one.carried}" or slower, or ask for a larger quota; sweeps and backfills get what is left`,
      ),
    );
}

/** A check is answered soon or not at all. */
function impatient(settings: StreamSettings): StreamSettings {
  return {
    ...settings,
    timeoutMs: Math.min(settings.timeoutMs, 15_000),
    retryMs: Math.min(settings.retryMs, 2_000),
  };
}
