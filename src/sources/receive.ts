import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';

/** Rejected with where an answer takes longer than it may. */
export const LATE = new Error('no complete answer in time');
/** The same, where its status and headers were in time. */
export const SLOW = new Error('no complete body in time');
const STOPPED = new Error('stopped on request');

/** What takes an answer's body. */
export interface BodySink {
  /** The next part, to be copied; what it throws ends the request. */
  add(chunk: Uint8Array): void;
}

/** One request as undici takes it, and how long it may take. */
export interface Sending {
  readonly pool: Dispatcher;
  readonly request: Dispatcher.DispatchOptions;
  readonly signal: AbortSignal;
  /** From now to the last byte of the body. */
  readonly timeoutMs: number;
}

/**
 * Sends one request. `begin` is told status and headers as soon as they are known, and gives what takes the body.
 * Resolves when the body is complete; rejects at once when stopped, with LATE or SLOW, with an error of the network, or
 * with what `begin` or `add` threw: the connection is closed then. Undici's streams for bodies would cost as much as all
 * the rest.
 */
export function receive(
  { pool, request, signal, timeoutMs }: Sending,
  begin: (status: number, headers: IncomingHttpHeaders) => BodySink,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | null = null;
    let sink: BodySink | null = null;
    let failure: Error | null = null;
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
    const fail = (error: unknown) => {
      failure ??= error as Error;
      end();
      // Not known yet while the connection is made: the request is then given up as it begins.
      controller?.abort(failure);
      reject(failure);
    };
    const stop = () => fail(STOPPED);
    const timer = setTimeout(() => fail(sink === null ? LATE : SLOW), timeoutMs);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) return stop();
    pool.dispatch(request, {
      onRequestStart(started) {
        controller = started;
        if (failure !== null) started.abort(failure);
      },
      onResponseStart(_, status, headers) {
        // A status 1xx comes before the answer itself.
        if (failure !== null || status < 200) return;
        try {
          sink = begin(status, headers);
        } catch (error) {
          fail(error);
        }
      },
      onResponseData(_, chunk) {
        if (failure !== null) return;
        try {
          sink?.add(chunk);
        } catch (error) {
          fail(error);
        }
      },
      onResponseEnd() {
        end();
        resolve();
      },
      onResponseError: (_, error) => fail(error),
    });
  });
}
