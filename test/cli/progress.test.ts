import { describe, expect, it } from 'vitest';
import type { CliContext } from '../../src/cli/command.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { systemClock } from '../../src/clock.ts';
import type { StreamId } from '../../src/model.ts';
import { datadog } from '../../src/sources/datadog/source.ts';
import type { Quota, Stream } from '../../src/sources/source.ts';
import type { RunEvent } from '../../src/sync/run.ts';
import { openStream } from '../sources/opened.ts';

const FROM = Date.UTC(2026, 10, 20, 6);
const WINDOW = { from: FROM, to: FROM + 6 * 3_600_000 };
const WINDOW_TEXT = '11-20 06:00 to 11-20 12:00';

/** A view on outputs that can be read, at an instant that only `pass` moves. */
function open({ isTty, columns = 200 }: { readonly isTty: boolean; readonly columns?: number }) {
  let passedMs = 1_000;
  let err = '';
  let all = '';
  const context: CliContext = {
    env: {},
    cwd: '.',
    stdout: { write: (text) => expect(text, 'stdout is for data').toBe('') },
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
  const view = createProgress(context, false, () => passedMs);
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
    /** What a terminal shows of all that was written. */
    shown: () => screen(all),
  };
}

function streamNamed(id: string, quota: Quota = { limit: 300, remaining: 288, resetMs: null }): Stream {
  const keys = { api_key: 'a', app_key: 'b' };
  const { stream } = openStream(datadog, keys, systemClock, { id: id as StreamId });
  return { ...stream, quota: () => quota };
}

function stored(share: number | null, fetched: number, requests: number): RunEvent {
  return {
    kind: 'stored',
    window: WINDOW,
    share,
    totals: { windows: 0, fetched, fresh: fetched, known: 0, quarantined: 0 },
    meter: { requests, retries: 0, waits: 0, waitMs: 0, bytes: 0 },
  };
}

const ESC = '\u001b';
const PIECE = new RegExp(`${ESC}\\[\\d+[AK]|\\n|[^${ESC}\\n]+`, 'g');

/** What the terminal shows after `text`: each line erased and drawn anew, the cursor moved up. */
function screen(text: string): readonly string[] {
  const lines: string[] = [];
  let row = 0;
  for (const [piece] of text.matchAll(PIECE)) {
    if (piece.startsWith(ESC) && piece.endsWith('A')) row -= Number(piece.slice(2, -1));
    else if (piece === `${ESC}[2K`) lines[row] = '';
    else if (piece === '\n') row++;
    else lines[row] = (lines[row] ?? '') + piece;
  }
  return lines;
}

describe('progress on a terminal', () => {
  it('shows the window, a bar, entries, their rate, requests, the quota left, and the time to go', () => {
    const { view, pass, shown } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, { kind: 'window', window: WINDOW });
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

  it('draws each stream on a line of its own, over the lines it drew before', () => {
    const { view, pass, shown } = open({ isTty: true });
    const [web, mail] = [streamNamed('datadog.web'), streamNamed('datadog.mail')];
    view.update(web, { kind: 'window', window: WINDOW });
    pass(200);
    view.update(mail, { kind: 'window', window: WINDOW });
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
    view.update(stream, { kind: 'window', window: WINDOW });
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
    view.update(streamNamed('datadog.web'), { kind: 'window', window: WINDOW });
    view.close();
    for (const line of shown()) expect(line).toHaveLength(29);
  });

  it('tells a wait for quota until it is over, and who else reads the stream', () => {
    const { view, pass, written } = open({ isTty: true });
    const stream = streamNamed('datadog.web');
    view.update(stream, { kind: 'window', window: WINDOW });
    pass(1_000);
    view.update(stream, { kind: 'waiting', waitMs: 90_000 });
    expect(written()).toContain('waits 1 min 30 s for quota');
    pass(90_000);
    view.update(stream, stored(0.5, 10, 1));
    expect(written()).not.toContain('waits');
    pass(1_000);
    view.update(stream, { kind: 'held', by: 'host:1:\u001b[31mabc' });
    expect(written()).toContain('datadog.web: waiting for host:1:\\u001b[31mabc, which reads it now');
    view.close();
  });
});

describe('progress elsewhere', () => {
  it('is a plain line each five seconds a stream, with nothing of a terminal in it', () => {
    const { view, pass, written } = open({ isTty: false });
    const stream = streamNamed('datadog.web', { limit: null, remaining: null, resetMs: null });
    view.update(stream, { kind: 'window', window: WINDOW });
    for (let i = 1; i <= 10; i++) {
      pass(1_000);
      view.update(stream, stored(i / 20, i * 100, i));
    }
    view.close();
    expect(written()).toBe(
      `datadog.web: [###---------] 25 %  15 s to go  500 entries  100/s  5 requests  ${WINDOW_TEXT}\n` +
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
    expect(written()).toBe('datadog.web: waiting for host:1:abc, which reads it now\n');
    view.update(stream, { kind: 'window', window: WINDOW });
    view.update(stream, { kind: 'waiting', waitMs: 1_000 });
    expect(written()).toBe('');
    view.update(stream, { kind: 'waiting', waitMs: 60_000 });
    expect(written()).toContain('waits 1 min for quota');
  });
});
