import { describe, expect, it } from 'vitest';
import type { CliContext } from '../../src/cli/command.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { systemClock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import type { StreamId } from '../../src/model.ts';
import { datadog } from '../../src/sources/datadog/source.ts';
import type { Quota, Stream } from '../../src/sources/source.ts';
import type { RunEvent } from '../../src/sync/run.ts';
import { openStream } from '../sources/opened.ts';

const FROM = Date.UTC(2026, 10, 20, 6);
const WINDOW = { from: FROM, to: FROM + 6 * 3_600_000 };
const WINDOW_TEXT = '11-20 06:00 to 11-20 12:00';

interface Shape {
  readonly isTty: boolean;
  readonly columns?: number;
  readonly live?: boolean;
  readonly json?: boolean;
}

/** A view on outputs that can be read, at an instant that only `pass` moves. */
function open({ isTty, columns = 200, live = true, json = false }: Shape) {
  let passedMs = 1_000;
  let err = '';
  let all = '';
  let out = '';
  const context: CliContext = {
    env: {},
    cwd: '.',
    stdout: {
      write: (text) => {
        if (!json) expect(text, 'stdout is for data').toBe('');
        out += text;
      },
    },
    stderr: {
      columns,
      write: (text) => {
        err += text;
        all += text;
      },
    },
    signal: new AbortController().signal,
    isTty,
    clock: { ...systemClock, now: () => WINDOW.to + passedMs },
  };
  const view = createProgress(context, { json, live, elapsed: () => passedMs });
  return {
    view,
    pass: (ms: number) => {
      passedMs += ms;
    },
    /** What was written since the last call. */
    written: () => {
      const text = err;
      err = '';
      return text;
    },
    /** The JSON lines so far. */
    told: () =>
      out
        .split('\n')
        .filter(Boolean)
        .map((line): unknown => JSON.parse(line)),
    /** What a terminal shows of all that was written. */
    shown: () => screen(all),
  };
}

function streamNamed(id: string, quota: Quota = { limit: 300, remaining: 288, resetMs: null }): Stream {
  const keys = { api_key: 'a', app_key: 'b' };
  const { stream } = openStream(datadog, keys, systemClock, { id: id as StreamId });
  return { ...stream, quota: () => quota };
}

function began(whole: number | null = null): RunEvent {
  return { kind: 'window', window: WINDOW, whole };
}

function stored(whole: number | null, fetched: number, requests: number, waits = 0): RunEvent {
  return {
    kind: 'stored',
    window: WINDOW,
    // Of the window nothing is shown: a run has many.
    share: 0.01,
    whole,
    totals: { windows: 0, fetched, fresh: fetched, known: 0, quarantined: 0 },
    meter: { requests, retries: 0, waits, waitMs: 0, bytes: 0 },
  };
}

function retrying(retry: number, fetched = 0, message = 'connect ECONNREFUSED 127.0.0.1:9'): RunEvent {
  return {
    kind: 'retrying',
    retry,
    error: new LogkeepError('unavailable', `datadog.web: ${message}`),
    totals: { windows: 0, fetched, fresh: fetched, known: 0, quarantined: 0 },
    meter: { requests: retry, retries: retry - 1, waits: 0, waitMs: 0, bytes: 0 },
  };
}

const ESC = '\u001b';
const PIECE = new RegExp(`${ESC}\\[(?:\\d+[AK]|J)|\\n|[^${ESC}\\n]+`, 'g');

/** What the terminal shows after `text`: each line erased and drawn anew, the cursor moved up. */
function screen(text: string): readonly string[] {
  const lines: string[] = [];
  let row = 0;
  for (const [piece] of text.matchAll(PIECE)) {
    if (piece.startsWith(ESC) && piece.endsWith('A')) row -= Number(piece.slice(2, -1));
    else if (piece === `${ESC}[J`) lines.splice(row);
    else if (piece === `${ESC}[2K`) lines[row] = '';
    else if (piece === '\n') row++;
    else lines[row] = (lines[row] ?? '') + piece;
  }
  return lines;
}

describe('progress on a terminal', () => {
  it('shows the window, a bar of the whole run, entries, their rate, requests, the quota left, and the time to go', () => {
    const { view, pass, shown } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, began());
    expect(shown()).toEqual([`datadog.web: quota left 288 of 300  ${WINDOW_TEXT}`]);
    pass(2_000);
    view.update(stream, stored(0.25, 3_000, 3));
    // Of the pace nothing is known yet.
    expect(shown()).toEqual([
      `datadog.web: [###---------] 25 %  3,000 entries  1,500/s  3 requests  quota left 288 of 300  ${WINDOW_TEXT}`,
    ]);
    pass(10_000);
    view.update(stream, stored(0.5, 24_000, 24));
    expect(shown()).toEqual([
      `datadog.web: [######------] 50 %  20 s to go  24,000 entries  2,000/s  24 requests  quota left 288 of 300  ${WINDOW_TEXT}`,
    ]);
    view.close();
  });

  it('has a bar as soon as it is known what there is to read, though nothing is read yet', () => {
    const { view, shown } = open({ isTty: true });
    view.update(streamNamed('datadog.web'), began(0));
    expect(shown()).toEqual([`datadog.web: [------------] 0 %  quota left 288 of 300  ${WINDOW_TEXT}`]);
    view.close();
  });

  it('tells no time to go before some seconds and some share have passed, then counts it down', () => {
    const { view, pass, shown } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, began(0));
    view.update(stream, stored(0, 100, 1));
    // What is no part of what is owed takes its time, and says nothing of the pace.
    pass(60_000);
    view.update(stream, stored(0, 500, 5));
    pass(4_000);
    view.update(stream, stored(0.2, 600, 6));
    expect(shown()[0]).toContain('20 %');
    expect(shown()[0]).not.toContain('to go');
    pass(4_000);
    view.update(stream, stored(0.4, 700, 7));
    expect(shown()[0]).toContain('40 %  12 s to go');
    pass(3_000);
    view.write('');
    expect(shown()[0]).toContain('40 %  9 s to go');
    view.close();

    const slow = open({ isTty: true });
    slow.view.update(stream, stored(0, 1, 1));
    slow.pass(20_000);
    slow.view.update(stream, stored(0.02, 2, 2));
    expect(slow.shown()[0]).not.toContain('to go');
    slow.view.close();
  });

  it('goes on below what else is said meanwhile, and leaves that whole', () => {
    const { view, pass, shown } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, began(0));
    view.write('warning: something\n');
    pass(200);
    view.update(stream, stored(0.5, 10, 1));
    view.close();
    view.write('after\n');
    expect(shown()).toEqual([
      'warning: something',
      expect.stringMatching(/^datadog\.web: \[#{6}-{6}\] 50 % /),
      'after',
    ]);
  });

  it('draws each stream on a line of its own, over the lines it drew before', () => {
    const { view, pass, shown } = open({ isTty: true });
    const [web, mail] = [streamNamed('datadog.web'), streamNamed('datadog.mail')];
    view.update(web, began());
    pass(200);
    view.update(mail, began());
    pass(200);
    view.update(web, stored(1, 10, 1));
    pass(200);
    view.update(mail, stored(null, 1, 1));
    view.close();
    expect(shown()).toEqual([
      expect.stringMatching(/^datadog\.web: \[#{12}\] 100 % {2}10 entries {2}/),
      expect.stringMatching(/^datadog\.mail: 1 entry {2}.* {2}1 request {2}/),
    ]);
  });

  it('redraws at most each 120 ms, and the last state when it closes, once', () => {
    const { view, pass, written } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, began());
    written();
    pass(100);
    view.update(stream, stored(0.1, 100, 1));
    expect(written()).toBe('');
    pass(30);
    view.update(stream, stored(0.2, 200, 2));
    expect(written()).toContain('200 entries');
    view.update(stream, stored(0.3, 300, 3));
    expect(written()).toBe('');
    view.close();
    expect(written()).toContain('300 entries');
    view.close();
    expect(written()).toBe('');
  });

  it('cuts a line at the width of the terminal, so that it stays one line', () => {
    const { view, shown } = open({ isTty: true, columns: 30 });
    view.update(streamNamed('datadog.web'), began());
    view.close();
    for (const line of shown()) expect(line).toHaveLength(29);
  });

  it('tells which retry is under way and why, and what was sent, until the API answers', () => {
    const { view, pass, shown } = open({ isTty: true });
    const stream = streamNamed('datadog.web', { limit: null, remaining: null, resetMs: null });
    view.update(stream, began(0));
    pass(1_000);
    view.update(stream, retrying(3));
    expect(shown()).toEqual([
      `datadog.web: [------------] 0 %  retry 3: connect ECONNREFUSED 127.0.0.1:9  0 entries  3 requests  ${WINDOW_TEXT}`,
    ]);
    pass(1_000);
    view.update(stream, retrying(4, 0, 'HTTP 503 "\u001b[31mbusy"'));
    expect(shown()[0]).toContain('retry 4: HTTP 503 "\\u001b[31mbusy"  0 entries  4 requests');
    pass(1_000);
    view.update(stream, stored(0.5, 100, 5));
    expect(shown()[0]).toContain('50 %  100 entries  33/s  5 requests');
    view.close();
  });

  it('tells a wait for quota until it is over, and who else reads the stream', () => {
    const { view, pass, written } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, began());
    pass(1_000);
    view.update(stream, { kind: 'waiting', waitMs: 90_000 });
    expect(written()).toContain(
      'waits for quota until 12:01:32Z (1 min 30 s)  quota left 288 of 300, kept in reserve',
    );
    pass(30_000);
    view.update(stream, stored(0.2, 10, 1));
    expect(written()).toContain('waits for quota until 12:01:32Z (1 min)');
    // It ended sooner.
    pass(1_000);
    view.update(stream, stored(0.5, 20, 2, 1));
    expect(written()).not.toContain('waits');
    pass(1_000);
    view.update(stream, { kind: 'held', by: 'host:1:\u001b[31mabc' });
    expect(written()).toContain('datadog.web: waiting for host:1:\\u001b[31mabc, which is reading it now');
    view.close();
  });
});

describe('progress elsewhere', () => {
  it('is a plain line each five seconds a stream, with nothing of a terminal in it', () => {
    const { view, pass, written } = open({ isTty: false });
    const stream = streamNamed('datadog.web', { limit: null, remaining: null, resetMs: null });
    view.update(stream, began());
    for (let i = 1; i <= 10; i++) {
      pass(1_000);
      view.update(stream, stored(i / 20, i * 100, i));
    }
    view.close();
    expect(written()).toBe(
      `datadog.web: [###---------] 25 %  500 entries  100/s  5 requests  ${WINDOW_TEXT}\n` +
        `datadog.web: [######------] 50 %  10 s to go  1,000 entries  100/s  10 requests  ${WINDOW_TEXT}\n`,
    );
  });

  it('says at once that another process holds the stream, once, and that a long wait begins', () => {
    const { view, pass, written } = open({ isTty: false });
    const stream = streamNamed('datadog.web');
    for (let i = 0; i < 3; i++) {
      view.update(stream, { kind: 'held', by: 'host:1:abc' });
      pass(1_000);
    }
    expect(written()).toBe('datadog.web: waiting for host:1:abc, which is reading it now\n');
    view.update(stream, began());
    view.update(stream, { kind: 'waiting', waitMs: 1_000 });
    expect(written()).toBe('');
    view.update(stream, { kind: 'waiting', waitMs: 60_000 });
    expect(written()).toContain('waits for quota until 12:01:04Z (1 min)');
  });

  it('says once in each outage that a request is tried again, and why', () => {
    const { view, pass, written } = open({ isTty: false });
    const stream = streamNamed('datadog.web', { limit: null, remaining: null, resetMs: null });
    const line = `datadog.web: retry 1: connect ECONNREFUSED 127.0.0.1:9  0 entries  1 request  ${WINDOW_TEXT}\n`;
    view.update(stream, began());
    for (let retry = 1; retry <= 5; retry++) {
      view.update(stream, retrying(retry));
      // Asked to wait by an API that fails: the same outage.
      view.update(stream, { kind: 'waiting', waitMs: 1_000 });
      pass(20_000);
    }
    expect(written()).toBe(line);
    view.update(stream, stored(null, 0, 6));
    expect(written()).toContain('0 entries  6 requests');
    view.update(stream, retrying(1));
    expect(written()).toBe(line);
  });

  it('is with --json a line at the first retry of an outage too', () => {
    const { view, told } = open({ isTty: false, json: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, began());
    for (let retry = 1; retry <= 3; retry++) view.update(stream, retrying(retry));
    expect(told()).toEqual([
      expect.objectContaining({ event: 'window' }),
      {
        stream: 'datadog.web',
        event: 'retrying',
        error: {
          kind: 'unavailable',
          message: 'datadog.web: connect ECONNREFUSED 127.0.0.1:9',
          remedy: expect.stringContaining('try again later'),
        },
        requests: 1,
      },
    ]);
  });

  it('says of what gives way to the live log that the rest is kept for that', () => {
    const { view, written } = open({ isTty: false, live: false });
    view.update(streamNamed('datadog.web', { limit: 300, remaining: 74, resetMs: null }), {
      kind: 'waiting',
      waitMs: 3_500_000,
    });
    expect(written()).toBe(
      'datadog.web: waits for quota until 12:58:21Z (58 min 20 s)  quota left 74 of 300, kept for the live log\n',
    );
  });
});
