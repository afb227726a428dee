import { expect, test } from 'vitest';
import { openTextLog } from '../../src/cli/text-log.ts';
import { LogkeepError } from '../../src/errors.ts';

function logged(level: string): { readonly log: ReturnType<typeof openTextLog>; said(): string } {
  let text = '';
  const log = openTextLog(level, {
    write: (more) => {
      text += more;
    },
  });
  return { log, said: () => text };
}

test('a line for people says level, stream, message and error, each once, and no identifiers', () => {
  const { log, said } = logged('warn');
  const error = new LogkeepError('database', 'qstash.main: record what was spent: the connection was lost');
  log.warn(
    { stream: 'qstash.main', error: String(error), ms: 20, holder: 'host:1:abc' },
    'spend not recorded',
  );
  log.error({ path: '/ready', error: 'Error: no answer' }, 'health and metrics: no answer');
  expect(said()).toBe(
    'warning: qstash.main: spend not recorded: record what was spent: the connection was lost (ms 20)\n' +
      'error: health and metrics: no answer: no answer (path /ready)\n',
  );
});

test('a line for people holds no control character, is one line, and ends', () => {
  const { log, said } = logged('info');
  log.info({ stream: 'a\u001b[31m', reason: 'x\ny', long: 'z'.repeat(10_000) }, 'planned\u0007');
  expect(said()).toMatch(/^info: a\\u001b\[31m: planned\\u0007 \(reason x\\ny, long z+\.\.\.\)\n$/);
  expect(said().length).toBeLessThan(1_000);
});

test.each([
  ['silent', ''],
  ['error', 'error: m\n'],
  ['warn', 'warning: m\nerror: m\n'],
  ['info', 'info: m\nwarning: m\nerror: m\n'],
  ['debug', 'debug: m\ninfo: m\nwarning: m\nerror: m\n'],
])('a log for people at level %s says what is at least so bad', (level, expected) => {
  const { log, said } = logged(level);
  for (const kind of ['debug', 'info', 'warn', 'error'] as const) log[kind]({}, 'm');
  expect(said()).toBe(expected);
});
