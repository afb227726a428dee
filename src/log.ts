import pino from 'pino';

/** Lines on stderr: counts and milliseconds, never a body, a header or a token. */
export interface Log {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** A log of JSON lines at `level` (`silent` for none), written to stderr at once so that nothing is lost in a crash. */
export function openLog(level: string): Log {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** Logs what was thrown and is no failed call, with its stack. */
export function logBug(log: Log, fields: Readonly<Record<string, unknown>>, error: unknown): void {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log.error({ ...fields, stack }, 'this is a bug in logkeep; please report it');
}

/** A log that says nothing. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
